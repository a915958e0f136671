#include "encoder/linear_code.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "encoder/half_float.h"
#include "encoder/kernels.h"
#include "encoder/tensor_checks.h"

namespace parm {
namespace {

std::vector<float> RowOf(const Matrix& matrix, int row, double divisor) {
  std::vector<float> values;
  for (int column = 0; column < matrix.num_columns(); ++column) {
    values.push_back(static_cast<float>(matrix.at(row, column) / divisor));
  }
  return values;
}

}  // namespace

ByteScale ByteScaleOf(const Matrix& coefficients, int row) {
  double negative = 0;
  ByteScale scale = {.is_mean = true};
  for (int slot = 0; slot < coefficients.num_columns(); ++slot) {
    const double weight = coefficients.at(row, slot);
    scale.span += std::abs(weight);
    negative += std::max(-weight, 0.0);
    scale.is_mean = scale.is_mean && weight == 1;
  }
  scale.zero = 255 * negative / scale.span;
  return scale;
}

LinearCode::LinearCode(CodeSpec code_spec, const Matrix& coefficients)
    : DecodingCode(std::move(code_spec), LinearDecoder(coefficients)) {
  PARM_CHECK(coefficients.num_rows() == spec().r);
  PARM_CHECK(coefficients.num_columns() == spec().k);
  for (int p = 0; p < spec().r; ++p) {
    byte_scales_.push_back(ByteScaleOf(coefficients, p));
  }
  for (int num_members = 1; num_members <= spec().k; ++num_members) {
    const Matrix folded = FoldRoundRobin(coefficients, num_members);
    std::vector<Row>& rows = rows_.emplace_back();
    for (int p = 0; p < spec().r; ++p) {
      const double span = byte_scales_[static_cast<size_t>(p)].span;
      rows.push_back({.weights = RowOf(folded, p, 1),
                      .byte_weights = RowOf(folded, p, span)});
    }
  }
}

absl::Status LinearCode::CheckDataType(DataType datatype) const {
  if (datatype == DataType::kFp32 || datatype == DataType::kUint8 ||
      IsHalfFloat(datatype)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("a code cannot add members of this datatype: got ",
                   DataTypeName(datatype),
                   ", want FP32, FP16, BF16 or UINT8 for ", ToString(spec())));
}

absl::StatusOr<TensorSpec> LinearCode::ParityQuerySpec(const TensorSpec& member,
                                                       int num_members) const {
  PARM_RETURN_IF_ERROR(CheckNumMembers(spec().k, num_members));
  PARM_RETURN_IF_ERROR(CheckDataType(member.datatype));
  PARM_RETURN_IF_ERROR(CheckBatchShape(member));
  return member;
}

absl::Status LinearCode::Encode(int parity_index,
                                absl::Span<const TensorView> members,
                                MutableTensorView parity) const {
  PARM_RETURN_IF_ERROR(CheckEncodeCall(spec(), parity_index, members));
  const TensorView& first = members.front();
  PARM_RETURN_IF_ERROR(CheckDataType(first.datatype));
  PARM_RETURN_IF_ERROR(CheckParity(first, first.shape[0], parity));

  if (first.datatype == DataType::kUint8) {
    EncodeBytes(parity_index, members, parity);
    return absl::OkStatus();
  }
  const std::byte* inputs[kMaxMembers];
  for (size_t i = 0; i < members.size(); ++i) {
    inputs[i] = members[i].bytes.data();
  }
  const auto views = absl::MakeConstSpan(inputs, members.size());
  const std::vector<float>& weights =
      rows_[members.size() - 1][static_cast<size_t>(parity_index)].weights;
  const size_t count = parity.bytes.size() / DataTypeSize(first.datatype);
  if (first.datatype == DataType::kFp32) {
    WeightedSum(weights, views, count, parity.bytes.data());
  } else {
    WeightedSumHalf(first.datatype, weights, views, count, parity.bytes.data());
  }
  return absl::OkStatus();
}

void LinearCode::EncodeBytes(int parity_index,
                             absl::Span<const TensorView> members,
                             MutableTensorView parity) const {
  const auto p = static_cast<size_t>(parity_index);
  const size_t num_members = members.size();
  // Of the mean all k slots: a repeated member is read again from cache.
  const size_t num_inputs =
      byte_scales_[p].is_mean ? static_cast<size_t>(spec().k) : num_members;
  const std::byte* inputs[kMaxMembers];
  for (size_t i = 0; i < num_inputs; ++i) {
    inputs[i] = members[i % num_members].bytes.data();
  }
  const auto views = absl::MakeConstSpan(inputs, num_inputs);
  if (byte_scales_[p].is_mean) {
    RoundedMean(views, parity.bytes.size(), parity.bytes.data());
    return;
  }
  RoundedWeightedSum(rows_[num_members - 1][p].byte_weights,
                     static_cast<float>(byte_scales_[p].zero), views,
                     parity.bytes.size(), parity.bytes.data());
}

}  // namespace parm
