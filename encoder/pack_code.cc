#include "encoder/pack_code.h"

#include <cstring>

#include "base/status_macros.h"
#include "encoder/decoding_code.h"
#include "encoder/slice_decoder.h"
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

class PackCode final : public DecodingCode<SliceDecoder> {
 public:
  explicit PackCode(const CodeSpec& code_spec)
      : DecodingCode(code_spec,
                     SliceDecoder(code_spec.k, SliceLayout::kOnBatch)) {}

  bool mixes_members() const override { return false; }
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
