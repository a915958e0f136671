#include "encoder/slice_decoder.h"

#include <cstdint>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "encoder/kernels.h"
#include "encoder/tensor_checks.h"

namespace parm {

bool SliceDecoder::Suffices(int num_members, ArrivalMask arrived,
                            int lost) const {
  return num_members >= 1 && num_members <= k_ && lost >= 0 &&
         lost < num_members && ((arrived >> k_) & 1U) != 0;
}

// Without building the shape that is wanted, as it runs for every decode.
absl::Status SliceDecoder::CheckAnswer(const TensorView& answer,
                                       int num_members,
                                       const MutableTensorView& result) const {
  const bool own_axis = layout_ == SliceLayout::kOwnAxis;
  const int num_slices = own_axis ? k_ : num_members;
  const absl::Span<const int64_t> shape = answer.shape;
  const absl::Span<const int64_t> want = result.shape;
  bool fits = false;
  if (own_axis) {
    fits = shape.size() == want.size() + 1 && shape[0] == num_slices &&
           shape.subspan(1) == want;
  } else {
    fits = shape.size() == want.size() && shape[0] == want[0] * num_slices &&
           shape.subspan(1) == want.subspan(1);
  }
  if (fits && answer.datatype == DataType::kFp32 &&
      answer.bytes.size() ==
          result.bytes.size() * static_cast<size_t>(num_slices)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "an answer does not hold one slice per member: got ",
      DataTypeName(answer.datatype), " ", ShapeToString(shape), " in ",
      answer.bytes.size(), " bytes, want FP32, ", num_slices, " times ",
      ShapeToString(want), own_axis ? " on an axis of its own" : " on axis 0"));
}

absl::StatusOr<DecodeReport> SliceDecoder::Decode(
    int num_members, absl::Span<const std::optional<TensorView>> outputs,
    int lost, MutableTensorView result) const {
  PARM_RETURN_IF_ERROR(
      CheckDecodeCall(k_, /*r=*/1, num_members, outputs.size(), lost, result));
  const std::optional<TensorView>& answer = outputs[static_cast<size_t>(k_)];
  if (!answer.has_value()) {
    return NotEnoughOutputs(num_members, ArrivedMask(outputs), lost);
  }
  PARM_RETURN_IF_ERROR(CheckAnswer(*answer, num_members, result));
  const size_t size = result.bytes.size();
  const std::byte* slice =
      answer->bytes.data() + static_cast<size_t>(lost) * size;
  if (!AllFinite(slice, size / sizeof(float))) return NotFinite(lost);
  if (size > 0) std::memcpy(result.bytes.data(), slice, size);
  return DecodeReport{.used = ArrivalMask{1} << k_, .noise_gain = 1};
}

absl::StatusOr<TensorSpec> SliceDecoder::AnswerSpec(
    const TensorSpec& member_output) const {
  PARM_RETURN_IF_ERROR(CheckOutputSpec(member_output));
  TensorSpec answer = member_output;
  if (layout_ == SliceLayout::kOwnAxis) {
    answer.shape.insert(answer.shape.begin(), k_);
  } else if (answer.shape[0] != -1) {
    answer.shape[0] *= k_;
  }
  PARM_RETURN_IF_ERROR(CheckBatchShape(answer));
  return answer;
}

}  // namespace parm
