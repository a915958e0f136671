#include "encoder/stack_code.h"

#include <cstdint>
#include <cstring>
#include <limits>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "encoder/decoding_code.h"
#include "encoder/slice_decoder.h"
#include "encoder/tensor_checks.h"

namespace parm {
namespace {

bool StackTakes(int k, int r) { return k >= 2 && k <= kMaxMembers && r == 1; }

// [batch, channels, ...] to [batch, k * channels, ...].
absl::Status CheckChannels(absl::Span<const int64_t> shape) {
  constexpr int64_t kMaxChannels =
      std::numeric_limits<int64_t>::max() / kMaxMembers;
  if (shape.size() >= 2 && shape[1] <= kMaxChannels) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("members cannot be stacked: got shape ",
                   ShapeToString(shape), ", want [batch,channels,...]"));
}

class StackCode final : public DecodingCode<SliceDecoder> {
 public:
  explicit StackCode(const CodeSpec& code_spec)
      : DecodingCode(code_spec,
                     SliceDecoder(code_spec.k, SliceLayout::kOwnAxis)) {}

  bool mixes_members() const override { return true; }
  bool supports_short_groups() const override { return true; }

  absl::StatusOr<TensorSpec> ParityQuerySpec(const TensorSpec& member,
                                             int num_members) const override {
    PARM_RETURN_IF_ERROR(CheckNumMembers(spec().k, num_members));
    PARM_RETURN_IF_ERROR(CheckBatchShape(member));
    PARM_RETURN_IF_ERROR(CheckChannels(member.shape));
    TensorSpec stacked = member;
    if (stacked.shape[1] == -1) return stacked;
    stacked.shape[1] *= spec().k;
    PARM_RETURN_IF_ERROR(CheckBatchShape(stacked));
    return stacked;
  }

  absl::Status Encode(int parity_index, absl::Span<const TensorView> members,
                      MutableTensorView parity) const override {
    PARM_RETURN_IF_ERROR(CheckEncodeCall(spec(), parity_index, members));
    const TensorView& first = members.front();
    PARM_RETURN_IF_ERROR(CheckChannels(first.shape));
    PARM_RETURN_IF_ERROR(CheckStacked(first, spec().k, parity));
    if (parity.bytes.empty()) return absl::OkStatus();
    const auto batch = static_cast<size_t>(first.shape[0]);
    const auto k = static_cast<size_t>(spec().k);
    const size_t sample_bytes = first.bytes.size() / batch;
    std::byte* next = parity.bytes.data();
    for (size_t sample = 0; sample < batch; ++sample) {
      for (size_t slot = 0; slot < k; ++slot) {
        const TensorView& member = members[slot % members.size()];
        std::memcpy(next, member.bytes.data() + sample * sample_bytes,
                    sample_bytes);
        next += sample_bytes;
      }
    }
    return absl::OkStatus();
  }
};

std::unique_ptr<const Code> CreateStack(const CodeSpec& spec) {
  return std::make_unique<StackCode>(spec);
}

}  // namespace

const CodeScheme kStackScheme = {.name = "stack",
                                 .takes = "k = 2..16 and r = 1",
                                 .supports = StackTakes,
                                 .create = CreateStack};

}  // namespace parm
