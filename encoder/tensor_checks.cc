#include "encoder/tensor_checks.h"

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace parm {
namespace {

// "FP32 [1,10] in 40 bytes"
template <typename View>
std::string Describe(const View& tensor) {
  return absl::StrCat(DataTypeName(tensor.datatype), " ",
                      ShapeToString(tensor.shape), " in ", tensor.bytes.size(),
                      " bytes");
}

// So that `num_members` batches side by side are still counted without
// overflow. Bytes alone do not bound a batch: [2^62,0] takes none.
absl::Status CheckBatch(int64_t batch) {
  constexpr int64_t kMaxBatch =
      std::numeric_limits<int64_t>::max() / kMaxMembers;
  if (batch <= kMaxBatch) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("a batch is too large: got ", batch));
}

// A view whose bytes are those of its datatype and shape, batch first.
template <typename View>
absl::Status CheckWhole(absl::string_view what, const View& tensor) {
  if (tensor.shape.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("a tensor has no batch dimension: ", what));
  }
  PARM_RETURN_IF_ERROR(CheckBatch(tensor.shape[0]));
  PARM_ASSIGN_OR_RETURN(const int64_t want_bytes,
                        NumBytes(tensor.datatype, tensor.shape));
  if (tensor.bytes.size() != static_cast<size_t>(want_bytes)) {
    return absl::InvalidArgumentError(
        absl::StrCat("a tensor's size does not fit its shape: ", what, " is ",
                     Describe(tensor), ", want ", want_bytes));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckNumMembers(int k, int num_members) {
  if (num_members >= 1 && num_members <= k) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "number of members is out of range: got ", num_members, ", want 1..", k));
}

absl::Status CheckBatchShape(const TensorSpec& spec) {
  if (spec.shape.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a tensor has no batch dimension: \"", spec.name, "\" is a scalar"));
  }
  PARM_RETURN_IF_ERROR(CheckBatch(spec.shape[0]));
  // A variable dimension may turn out to be anything from 0 on.
  std::vector<int64_t> shape = spec.shape;
  std::replace(shape.begin(), shape.end(), int64_t{-1}, int64_t{1});
  return NumBytes(spec.datatype, shape).status();
}

absl::Status CheckOutputSpec(const TensorSpec& member_output) {
  if (member_output.datatype != DataType::kFp32) {
    return absl::InvalidArgumentError(
        absl::StrCat("only FP32 outputs are decoded: got ",
                     DataTypeName(member_output.datatype), " for output \"",
                     member_output.name, "\""));
  }
  return CheckBatchShape(member_output);
}

absl::Status CheckEncodeCall(const CodeSpec& spec, int parity_index,
                             absl::Span<const TensorView> members) {
  if (parity_index < 0 || parity_index >= spec.r) {
    return absl::InvalidArgumentError(
        absl::StrCat("parity index is out of range: got ", parity_index,
                     ", want 0..", spec.r - 1));
  }
  const int num_members =
      static_cast<int>(std::min(members.size(), size_t{kMaxMembers} + 1));
  PARM_RETURN_IF_ERROR(CheckNumMembers(spec.k, num_members));
  const TensorView& first = members.front();
  PARM_RETURN_IF_ERROR(CheckWhole("member 0", first));
  for (const TensorView& member : members.subspan(1)) {
    if (member.datatype != first.datatype || member.shape != first.shape ||
        member.bytes.size() != first.bytes.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("members differ in kind: got ", Describe(member),
                       ", want ", Describe(first), " as member 0"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckParity(const TensorView& member, int64_t want_batch,
                         const MutableTensorView& parity) {
  PARM_RETURN_IF_ERROR(CheckWhole("the parity query", parity));
  if (parity.datatype != member.datatype || parity.shape[0] != want_batch ||
      parity.shape.subspan(1) != member.shape.subspan(1)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the parity query does not fit the members: got ", Describe(parity),
        ", want batch ", want_batch, " of members like ", Describe(member)));
  }
  return absl::OkStatus();
}

absl::Status CheckStacked(const TensorView& member, int k,
                          const MutableTensorView& parity) {
  PARM_RETURN_IF_ERROR(CheckWhole("the parity query", parity));
  if (parity.datatype != member.datatype ||
      parity.shape.size() != member.shape.size() ||
      parity.shape[0] != member.shape[0] ||
      parity.shape[1] != member.shape[1] * k ||
      parity.shape.subspan(2) != member.shape.subspan(2)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the parity query does not fit the members: got ",
                     Describe(parity), ", want ", k,
                     " times the channels of members like ", Describe(member)));
  }
  return absl::OkStatus();
}

absl::Status CheckDecodeCall(int k, int r, int num_members, size_t num_slots,
                             int lost, const MutableTensorView& result) {
  PARM_RETURN_IF_ERROR(CheckNumMembers(k, num_members));
  if (num_slots != static_cast<size_t>(k + r)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "number of output slots differs: got ", num_slots, ", want ", k + r));
  }
  if (lost < 0 || lost >= num_members) {
    return absl::InvalidArgumentError(
        absl::StrCat("lost member is out of range: got ", lost, ", want 0..",
                     num_members - 1));
  }
  if (result.datatype != DataType::kFp32) {
    return absl::InvalidArgumentError(
        absl::StrCat("only FP32 outputs are decoded: got ",
                     DataTypeName(result.datatype), " for the result"));
  }
  return CheckWhole("the result", result);
}

absl::Status CheckOutput(const TensorView& output, int slot,
                         absl::Span<const int64_t> want_shape,
                         size_t want_bytes) {
  if (output.datatype != DataType::kFp32) {
    return absl::InvalidArgumentError(
        absl::StrCat("only FP32 outputs are decoded: got ",
                     DataTypeName(output.datatype), " in slot ", slot));
  }
  if (output.shape != want_shape || output.bytes.size() != want_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("an output does not fit the result: got ",
                     Describe(output), " in slot ", slot, ", want ",
                     ShapeToString(want_shape), " in ", want_bytes));
  }
  return absl::OkStatus();
}

ArrivalMask ArrivedMask(absl::Span<const std::optional<TensorView>> outputs) {
  ArrivalMask arrived = 0;
  for (size_t slot = 0; slot < outputs.size(); ++slot) {
    if (outputs[slot].has_value()) arrived |= ArrivalMask{1} << slot;
  }
  return arrived;
}

absl::Status NotEnoughOutputs(int num_members, ArrivalMask arrived, int lost) {
  return absl::FailedPreconditionError(absl::StrCat(
      "the outputs that arrived do not determine the lost one: member ", lost,
      " of ", num_members, ", arrival mask 0x", absl::Hex(arrived)));
}

absl::Status NotFinite(int lost) {
  return absl::DataLossError(absl::StrCat(
      "a decode used or made a value that is not finite: member ", lost));
}

}  // namespace parm
