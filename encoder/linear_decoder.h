#pragma once

// The decode half of every linear code: which outputs suffice, and the weighted
// sum that rebuilds a missing one. `sum` uses it, and so does any code whose
// parity model answers a weighted sum of the members' outputs, however its
// parity query was made.

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/tensor.h"
#include "encoder/code.h"
#include "encoder/matrix.h"

namespace parm {

/// Holds D_F for every arrival pattern of every group size: solved in double
/// when it is made, applied in fp32. sum with k = 8: 36 rows, 33 KB.
/// Threads: const methods may run on any thread at once.
class LinearDecoder {
 public:
  /// Bounds the table: 2^(k+r) patterns times k members.
  static constexpr int kMaxSlots = 12;
  static constexpr bool kMultiOutput = false;

  /// Parity p answers sum over slots j of answer.at(p, j) * F(Xj).
  /// Needs: answer is r x k, with k + r <= kMaxSlots.
  explicit LinearDecoder(const Matrix& answer);

  /// As Code::Suffices; false as well for indices out of range.
  bool Suffices(int num_members, ArrivalMask arrived, int lost) const;

  /// As Code::Decode, for parity outputs of the members' output shape.
  /// Cost: one pass over the outputs used; no allocation unless it fails.
  absl::StatusOr<DecodeReport> Decode(
      int num_members, absl::Span<const std::optional<TensorView>> outputs,
      int lost, MutableTensorView result) const;

  /// As Code::ParityOutputSpec: an answer looks like a member's output.
  absl::StatusOr<TensorSpec> AnswerSpec(const TensorSpec& member_output) const;

 private:
  struct Term {
    int slot;
    float weight;
  };
  // A row of D_F without its zeros.
  struct Row {
    std::array<Term, kMaxSlots> terms;
    int num_terms = 0;
    ArrivalMask used = 0;  // the terms' slots
    double noise_gain = 0;
  };

  void Build(const Matrix& answer, int num_members);
  const Row* Find(int num_members, ArrivalMask arrived, int lost) const;

  // Constant after construction.
  int k_;
  int r_;
  std::vector<Row> rows_;
  // [num_members - 1][pattern * num_members + lost]: index of a row, or -1.
  std::vector<std::vector<int32_t>> row_index_;
};

}  // namespace parm
