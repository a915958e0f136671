#pragma once

// The decode half of a code, which a decoder does for it. A scheme adds how
// members become parity queries.

#include <optional>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/tensor.h"
#include "encoder/code.h"

namespace parm {

/// Decoder: LinearDecoder or SliceDecoder.
/// Threads: const methods may run on any thread at once.
template <typename Decoder>
class DecodingCode : public Code {
 public:
  bool multi_output() const final { return Decoder::kMultiOutput; }

  bool Suffices(int num_members, ArrivalMask arrived, int lost) const final {
    return decoder_.Suffices(num_members, arrived, lost);
  }

  absl::StatusOr<DecodeReport> Decode(
      int num_members, absl::Span<const std::optional<TensorView>> outputs,
      int lost, MutableTensorView result) const final {
    return decoder_.Decode(num_members, outputs, lost, result);
  }

  absl::StatusOr<TensorSpec> ParityOutputSpec(
      const TensorSpec& member_output) const final {
    return decoder_.AnswerSpec(member_output);
  }

 protected:
  DecodingCode(CodeSpec code_spec, Decoder decoder)
      : Code(std::move(code_spec)), decoder_(std::move(decoder)) {}

 private:
  const Decoder decoder_;
};

}  // namespace parm
