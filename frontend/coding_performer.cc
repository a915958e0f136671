#include "frontend/coding_performer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "frontend/tensor_rows.h"

namespace parm {
namespace {

float LoadFloat(const std::byte* at) {
  float value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

// Position of the largest of `count` floats, or nullopt if one is not finite.
std::optional<int64_t> TopClass(const std::byte* row, int64_t count) {
  int64_t top = 0;
  float best = 0;
  for (int64_t i = 0; i < count; ++i) {
    const float value = LoadFloat(row + i * int64_t{sizeof(float)});
    if (!std::isfinite(value)) return std::nullopt;
    if (i == 0 || value > best) {
      best = value;
      top = i;
    }
  }
  return top;
}

}  // namespace

absl::StatusOr<oip::Tensor> EncodeParityQuery(
    const Code& code, int parity_index,
    absl::Span<const MemberTensors> members) {
  if (members.empty() || members.size() > kMaxMembers) {
    return absl::InvalidArgumentError(
        absl::StrCat("a group has no such size: ", members.size()));
  }
  std::vector<oip::Tensor> joined;
  std::vector<TensorView> views;
  joined.reserve(members.size());  // Views point into it.
  views.reserve(members.size());
  for (const MemberTensors& member : members) {
    PARM_ASSIGN_OR_RETURN(oip::Tensor tensor, JoinRows(member));
    joined.push_back(std::move(tensor));
    views.push_back(ViewOf(joined.back()));
  }
  PARM_ASSIGN_OR_RETURN(
      TensorSpec spec,
      code.ParityQuerySpec(joined[0].spec, static_cast<int>(members.size())));
  PARM_ASSIGN_OR_RETURN(const int64_t size,
                        NumBytes(spec.datatype, spec.shape));
  std::byte* bytes = nullptr;
  Buffer data = Buffer::Allocate(static_cast<size_t>(size), &bytes);
  PARM_RETURN_IF_ERROR(
      code.Encode(parity_index, views,
                  {.datatype = spec.datatype,
                   .shape = spec.shape,
                   .bytes = {bytes, static_cast<size_t>(size)}}));
  return oip::Tensor{.spec = std::move(spec), .data = std::move(data)};
}

absl::StatusOr<DecodedOutput> DecodeMemberOutput(
    const Code& code, int num_members,
    absl::Span<const oip::Tensor* const> outputs, int lost,
    const TensorSpec& output, int64_t member_rows) {
  if (output.shape.empty()) {
    return absl::InvalidArgumentError("an output without a batch dimension");
  }
  std::vector<std::optional<TensorView>> views;
  views.reserve(outputs.size());
  for (const oip::Tensor* tensor : outputs) {
    if (tensor == nullptr) {
      views.emplace_back();
    } else {
      views.emplace_back(ViewOf(*tensor));
    }
  }
  DecodedOutput decoded{.tensor = {.spec = output}};
  TensorSpec& spec = decoded.tensor.spec;
  spec.shape[0] = member_rows;
  PARM_ASSIGN_OR_RETURN(const int64_t size,
                        NumBytes(spec.datatype, spec.shape));
  std::byte* bytes = nullptr;
  decoded.tensor.data = Buffer::Allocate(static_cast<size_t>(size), &bytes);
  PARM_ASSIGN_OR_RETURN(
      decoded.report,
      code.Decode(num_members, views, lost,
                  {.datatype = spec.datatype,
                   .shape = spec.shape,
                   .bytes = {bytes, static_cast<size_t>(size)}}));
  return decoded;
}

std::optional<float> ConfidenceOfDecode(
    absl::Span<const absl::Span<const ConfidenceStep>> tables,
    const oip::Tensor& decoded) {
  const int64_t rows = decoded.spec.shape.at(0);
  std::vector<float> logits(decoded.data.size() / sizeof(float));
  if (tables.empty() || logits.empty()) return std::nullopt;
  std::memcpy(logits.data(), decoded.data.bytes().data(),
              logits.size() * sizeof(float));
  double least = 1;
  for (const absl::Span<const ConfidenceStep> table : tables) {
    if (table.empty()) return std::nullopt;
    least = std::min(
        least, LeastConfidenceOf(table, logits, static_cast<size_t>(rows)));
  }
  return static_cast<float>(least);
}

ClassAgreement CompareTopClass(const oip::Tensor& decoded,
                               const oip::Tensor& original) {
  ClassAgreement agreement;
  const TensorSpec& spec = decoded.spec;
  if (spec.datatype != DataType::kFp32 ||
      original.spec.datatype != DataType::kFp32 ||
      spec.shape != original.spec.shape || spec.shape.empty() ||
      spec.shape[0] == 0 || decoded.data.size() != original.data.size()) {
    return agreement;
  }
  const int64_t rows = spec.shape[0];
  const int64_t row_bytes = static_cast<int64_t>(decoded.data.size()) / rows;
  const int64_t classes = row_bytes / int64_t{sizeof(float)};
  for (int64_t row = 0; row < rows; ++row) {
    const std::optional<int64_t> guess =
        TopClass(decoded.data.bytes().data() + row * row_bytes, classes);
    const std::optional<int64_t> truth =
        TopClass(original.data.bytes().data() + row * row_bytes, classes);
    ++agreement.compared;
    if (guess.has_value() && guess == truth) ++agreement.agreed;
  }
  return agreement;
}

}  // namespace parm
