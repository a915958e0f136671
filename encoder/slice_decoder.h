#pragma once

// The decode half of every multi-output code: the parity model answers for each
// member by itself, one slice per member, so a decode is a copy of one slice
// and waits for no sibling.

#include <cstddef>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/tensor.h"
#include "encoder/code.h"

namespace parm {

/// Where the slices of an answer lie. In bytes it is the same: one member's
/// [batch, ...] after the other's.
enum class SliceLayout {
  kOnBatch,  ///< [num_members * batch, ...]: a short group's answer is shorter.
  kOwnAxis,  ///< [k, batch, ...], whatever the group's size.
};

/// Threads: const methods may run on any thread at once.
class SliceDecoder {
 public:
  static constexpr bool kMultiOutput = true;

  /// For groups of up to k members and one parity.
  SliceDecoder(int k, SliceLayout layout) : k_(k), layout_(layout) {}

  /// As Code::Suffices; false as well for indices out of range.
  bool Suffices(int num_members, ArrivalMask arrived, int lost) const;

  /// As Code::Decode. Looks at the slice of `lost` only.
  /// Cost: two passes over one slice; no allocation unless it fails.
  absl::StatusOr<DecodeReport> Decode(
      int num_members, absl::Span<const std::optional<TensorView>> outputs,
      int lost, MutableTensorView result) const;

  /// As Code::ParityOutputSpec.
  absl::StatusOr<TensorSpec> AnswerSpec(const TensorSpec& member_output) const;

 private:
  absl::Status CheckAnswer(const TensorView& answer, int num_members,
                           const MutableTensorView& result) const;

  int k_;
  SliceLayout layout_;
};

}  // namespace parm
