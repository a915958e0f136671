#pragma once

// What `concat` and `tile` share: the parity query is a grid of shrunk members
// (picture_grid.h). They differ in what the parity model answers, hence in the
// decoder.

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/status_macros.h"
#include "base/tensor.h"
#include "encoder/code.h"
#include "encoder/decoding_code.h"
#include "encoder/picture_grid.h"
#include "encoder/tensor_checks.h"

namespace parm {

/// Decoder: LinearDecoder or SliceDecoder.
/// Threads: const methods may run on any thread at once.
template <typename Decoder>
class GridCode final : public DecodingCode<Decoder> {
 public:
  GridCode(const CodeSpec& code_spec, Decoder decoder)
      : DecodingCode<Decoder>(code_spec, std::move(decoder)),
        grid_(code_spec.k) {}

  bool mixes_members() const override { return true; }
  bool supports_short_groups() const override { return true; }

  absl::StatusOr<TensorSpec> ParityQuerySpec(const TensorSpec& member,
                                             int num_members) const override {
    PARM_RETURN_IF_ERROR(CheckNumMembers(this->spec().k, num_members));
    PARM_RETURN_IF_ERROR(grid_.CheckPictures(member.datatype, member.shape));
    PARM_RETURN_IF_ERROR(CheckBatchShape(member));
    return member;
  }

  absl::Status Encode(int parity_index, absl::Span<const TensorView> members,
                      MutableTensorView parity) const override {
    PARM_RETURN_IF_ERROR(CheckEncodeCall(this->spec(), parity_index, members));
    const TensorView& first = members.front();
    PARM_RETURN_IF_ERROR(grid_.CheckPictures(first.datatype, first.shape));
    PARM_RETURN_IF_ERROR(CheckParity(first, first.shape[0], parity));
    grid_.Encode(members, parity);
    return absl::OkStatus();
  }

 private:
  const PictureGrid grid_;
};

}  // namespace parm
