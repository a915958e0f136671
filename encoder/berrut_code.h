#pragma once

// Training-free codes: N coded queries *replace* the k members, every worker
// runs the deployed model itself, and all answers are approximate. Through the
// members runs a rational curve u with u(alpha_j) = Xj; worker i gets
// u(beta_i); its outputs lie on F(u(z)), which is interpolated back at the
// alpha_j:
//
//   alpha:      X0        X1        X2        X3            k = 4 members
//   beta:   C0      C1         C2        C3       C4        N = 5 coded queries
//              \_ any of them missing: interpolate through the others
//
// Not behind encoder/code.h, which is systematic (an output that arrived is
// never decoded): evaluated offline, served nowhere.
//
// Source: Jahani-Nezhad and Maddah-Ali (BACC, arXiv 2009.08327); Soleymani et
// al. (ApproxIFER, AAAI'22, arXiv 2109.09868).

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/tensor.h"
#include "encoder/interpolation.h"
#include "encoder/matrix.h"

namespace parm {

/// Bit i set: the output of worker i is here.
using WorkerMask = uint32_t;

enum class WorkerNodes {
  kSecondKind,  ///< As published.
  kFirstKind,   ///< Better with one straggler: lower noise gain, smaller leak.
};

/// Defaults are the published code.
struct BerrutOptions {
  int k = 0;
  int num_workers = 0;
  WorkerNodes nodes = WorkerNodes::kSecondKind;
  WeightFamily encode_weights = WeightFamily::kBerrut1;
  WeightFamily decode_weights = WeightFamily::kBerrut1;
};

/// Matrices in double, applied in fp32 by WeightedSum of kernels.h.
/// Threads: const methods may run on any thread at once.
class BerrutCode {
 public:
  static constexpr int kMaxWorkers = 16;

  /// Errors: kInvalidArgument unless 2 <= k <= num_workers <= kMaxWorkers.
  static absl::StatusOr<BerrutCode> Create(const BerrutOptions& options);

  const BerrutOptions& options() const { return options_; }

  /// G, num_workers x k: coded query i is sum over j of G(i, j) * Xj. Rows sum
  /// to 1.
  const Matrix& encode_matrix() const { return encode_; }

  /// D_F, k x num_workers, zero for workers that have not answered: output j is
  /// sum over i of D(j, i) * F(coded query i). Any number of answers decodes;
  /// fewer are less accurate. Rows sum to 1.
  /// Errors: kFailedPrecondition if no worker of the code answered.
  absl::StatusOr<Matrix> DecodeMatrix(WorkerMask answered) const;

  /// Writes all coded queries.
  /// Shape:  k members and num_workers coded queries, all FP32 of one shape.
  /// Errors: kInvalidArgument if not.
  absl::Status Encode(absl::Span<const TensorView> members,
                      absl::Span<const MutableTensorView> coded) const;

 private:
  explicit BerrutCode(const BerrutOptions& options);

  // Constant after construction.
  BerrutOptions options_;
  std::vector<double> member_nodes_;
  std::vector<double> worker_nodes_;
  Matrix encode_;
  std::vector<float> encode_weights_;
};

/// Rebuilds the outputs of all members with a decode matrix, k x num_workers,
/// of BerrutCode or RidgeDecoder.
/// Shape:  outputs: one per column, read where that column is not zero;
/// results:
///         one per row; all FP32 of one shape.
/// Errors: kInvalidArgument if not; kDataLoss if a result is not finite.
absl::Status ApplyDecodeMatrix(const Matrix& decode,
                               absl::Span<const TensorView> outputs,
                               absl::Span<const MutableTensorView> results);

/// Max row abs sum of a decode matrix: by how much errors of the outputs may
/// grow.
double NoiseGain(const Matrix& decode);

/// Row by row the abs sum of D_F G - I: by how much the code errs on F(X) = X
/// with members of magnitude 1. Interpolation is not exact even there.
/// Needs: decode is k x N, encode is N x k.
std::vector<double> LinearLeak(const Matrix& decode, const Matrix& encode);

}  // namespace parm
