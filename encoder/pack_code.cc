#include "encoder/pack_code.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "encoder/kernels.h"
#include "encoder/tensor_checks.h"

namespace parm {
namespace {

bool PackTakes(int k, int r) { return k >= 1 && k <= kMaxMembers && r == 1; }

// `member` with num_members times its batch; a variable batch stays variable.
absl::StatusOr<TensorSpec> Widen(const TensorSpec& member, int num_members) {
  PARM_RETURN_IF_ERROR(CheckBatchShape(member));
  TensorSpec packed = member;
  int64_t& batch = packed.shape[0];
  if (batch == -1) return packed;
  batch *= num_members;
  PARM_RETURN_IF_ERROR(CheckBatchShape(packed));
  return packed;
}

// Without building the shape that is wanted, as it runs for every decode.
absl::Status CheckPackedAnswer(const TensorView& answer, int num_members,
                               const MutableTensorView& result) {
  if (answer.datatype == DataType::kFp32 &&
      answer.shape.size() == result.shape.size() &&
      answer.shape[0] == result.shape[0] * num_members &&
      answer.shape.subspan(1) == result.shape.subspan(1) &&
      answer.bytes.size() ==
          result.bytes.size() * static_cast<size_t>(num_members)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "a packed answer does not hold the members' outputs: got ",
      DataTypeName(answer.datatype), " ", ShapeToString(answer.shape), " in ",
      answer.bytes.size(), " bytes, want FP32, ", num_members, " times ",
      ShapeToString(result.shape)));
}

class PackCode final : public Code {
 public:
  explicit PackCode(const CodeSpec& code_spec) : Code(code_spec) {}

  bool multi_output() const override { return true; }
  bool supports_short_groups() const override { return true; }

  absl::StatusOr<TensorSpec> ParityQuerySpec(const TensorSpec& member,
                                             int num_members) const override {
    PARM_RETURN_IF_ERROR(CheckNumMembers(spec().k, num_members));
    return Widen(member, num_members);
  }

  absl::Status Encode(int parity_index, absl::Span<const TensorView> members,
                      MutableTensorView parity) const override {
    PARM_RETURN_IF_ERROR(CheckEncodeCall(spec(), parity_index, members));
    const TensorView& first = members.front();
    const auto num_members = static_cast<int64_t>(members.size());
    PARM_RETURN_IF_ERROR(
        CheckParity(first, first.shape[0] * num_members, parity));
    std::byte* next = parity.bytes.data();
    for (const TensorView& member : members) {
      if (member.bytes.empty()) continue;
      std::memcpy(next, member.bytes.data(), member.bytes.size());
      next += member.bytes.size();
    }
    return absl::OkStatus();
  }

  bool Suffices(int num_members, ArrivalMask arrived, int lost) const override {
    return num_members >= 1 && num_members <= spec().k && lost >= 0 &&
           lost < num_members && ((arrived >> spec().k) & 1U) != 0;
  }

  // The answer is [num_members * batch, ...]: the rows of `lost` lie together.
  absl::StatusOr<DecodeReport> Decode(
      int num_members, absl::Span<const std::optional<TensorView>> outputs,
      int lost, MutableTensorView result) const override {
    PARM_RETURN_IF_ERROR(CheckDecodeCall(spec().k, spec().r, num_members,
                                         outputs.size(), lost, result));
    const int slot = spec().k;
    const std::optional<TensorView>& answer =
        outputs[static_cast<size_t>(slot)];
    if (!answer.has_value()) {
      return NotEnoughOutputs(num_members, ArrivedMask(outputs), lost);
    }
    PARM_RETURN_IF_ERROR(CheckPackedAnswer(*answer, num_members, result));
    const size_t size = result.bytes.size();
    const std::byte* rows =
        answer->bytes.data() + static_cast<size_t>(lost) * size;
    if (!AllFinite(rows, size / sizeof(float))) return NotFinite(lost);
    if (size > 0) std::memcpy(result.bytes.data(), rows, size);
    return DecodeReport{.noise_gain = 1};
  }

  absl::StatusOr<TensorSpec> ParityOutputSpec(
      const TensorSpec& member_output) const override {
    PARM_RETURN_IF_ERROR(CheckOutputSpec(member_output));
    return Widen(member_output, spec().k);
  }
};

std::unique_ptr<const Code> CreatePack(const CodeSpec& spec) {
  return std::make_unique<PackCode>(spec);
}

}  // namespace

const CodeScheme kPackScheme = {.name = "pack",
                                .takes = "k = 1..16 and r = 1",
                                .supports = PackTakes,
                                .create = CreatePack};

}  // namespace parm
