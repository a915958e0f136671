#pragma once

// Carries out the core's coding actions on tensors: encode a parity query,
// decode a missing output, compare a decode with the late original. Decisions
// are the core's, algebra the code's; this finds shapes and memory.

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/tensor.h"
#include "encoder/code.h"
#include "encoder/confidence.h"
#include "proto/oip/messages.h"

namespace parm {

/// The queries of one member, joined on dimension 0 in this order.
using MemberTensors = std::vector<const oip::Tensor*>;

/// Parity query `parity_index` of these members, encoded straight into the
/// buffer that is sent. Its name is the members'.
/// Errors: kInvalidArgument as Code::Encode and JoinRows.
absl::StatusOr<oip::Tensor> EncodeParityQuery(
    const Code& code, int parity_index,
    absl::Span<const MemberTensors> members);

struct DecodedOutput {
  oip::Tensor tensor;
  DecodeReport report;
};

/// Rebuilds the output of member `lost`.
/// Shape:  outputs has k + r slots, nullptr: not used. `output` is the deployed
///         model's, dimension 0 anything, the others fixed; the result has
///         `member_rows` rows.
/// Errors: as Code::Decode; kInvalidArgument if `output` has no dimension.
absl::StatusOr<DecodedOutput> DecodeMemberOutput(
    const Code& code, int num_members,
    absl::Span<const oip::Tensor* const> outputs, int lost,
    const TensorSpec& output, int64_t member_rows);

/// P(right) of a decode: by each of these tables that of its least sure row, of
/// those the least. nullopt without a table, or where one is empty: not known.
/// Needs: `decoded` came from DecodeMemberOutput.
std::optional<float> ConfidenceOfDecode(
    absl::Span<const absl::Span<const ConfidenceStep>> tables,
    const oip::Tensor& decoded);

struct ClassAgreement {
  uint32_t compared = 0;  // rows
  uint32_t agreed = 0;    // rows with the same top class
};

/// Compares row by row where the largest value lies; rows with a value that is
/// not finite do not agree. Nothing is compared if shapes differ or the type is
/// not FP32.
ClassAgreement CompareTopClass(const oip::Tensor& decoded,
                               const oip::Tensor& original);

}  // namespace parm
