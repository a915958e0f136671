#pragma once

// A code whose parity queries are weighted sums of the members, element by
// element, and whose parity models answer weighted sums of the members'
// outputs. It is given by two small matrices, so a scheme of this kind is a
// choice of coefficients; see sum_code.h.

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/tensor.h"
#include "encoder/code.h"
#include "encoder/linear_decoder.h"
#include "encoder/matrix.h"

namespace parm {

/// Both r x k, one column per slot of a full group.
struct LinearCoefficients {
  /// G: parity query p is sum over j of encode.at(p, j) * Xj.
  Matrix encode;
  /// What parity model p is trained to answer: sum of answer.at(p, j) * F(Xj).
  /// Equal to `encode` in a code of inputs; it may differ, as ParM's r > 1
  /// gives one and the same parity query to r models with different targets.
  Matrix answer;
};

/// Members: FP32; FP16 and BF16, added up in fp32 and rounded once; UINT8 too
/// if every encode coefficient is 1. The parity query of UINT8 members is the
/// mean over the k slots, rounded half away from zero, so that it stays UINT8;
/// the parity model still answers the sum of outputs. Short groups: members are
/// repeated round robin (see FoldRoundRobin). Threads: const methods may run on
/// any thread at once.
class LinearCode final : public Code {
 public:
  /// Needs: both matrices are r x k of `spec`, with k + r <=
  ///        LinearDecoder::kMaxSlots.
  LinearCode(CodeSpec spec, const LinearCoefficients& coefficients);

  bool multi_output() const override { return false; }
  bool supports_short_groups() const override { return true; }
  absl::StatusOr<TensorSpec> ParityQuerySpec(const TensorSpec& member,
                                             int num_members) const override;
  absl::Status Encode(int parity_index, absl::Span<const TensorView> members,
                      MutableTensorView parity) const override;
  bool Suffices(int num_members, ArrivalMask arrived, int lost) const override;
  absl::StatusOr<DecodeReport> Decode(
      int num_members, absl::Span<const std::optional<TensorView>> outputs,
      int lost, MutableTensorView result) const override;
  absl::StatusOr<TensorSpec> ParityOutputSpec(
      const TensorSpec& member_output) const override;

 private:
  absl::Status CheckDataType(DataType datatype) const;

  // Constant after construction.
  const LinearDecoder decoder_;
  const bool takes_uint8_;
  // [num_members - 1]: r x num_members, row by row.
  std::vector<std::vector<float>> encode_weights_;
};

}  // namespace parm
