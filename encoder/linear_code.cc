#include "encoder/linear_code.h"

#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "encoder/half_float.h"
#include "encoder/kernels.h"
#include "encoder/tensor_checks.h"

namespace parm {
namespace {

bool AllOnes(const Matrix& matrix) {
  for (int row = 0; row < matrix.num_rows(); ++row) {
    for (int column = 0; column < matrix.num_columns(); ++column) {
      if (matrix.at(row, column) != 1) return false;
    }
  }
  return true;
}

std::vector<float> ToFloats(const Matrix& matrix) {
  std::vector<float> values;
  for (int row = 0; row < matrix.num_rows(); ++row) {
    for (int column = 0; column < matrix.num_columns(); ++column) {
      values.push_back(static_cast<float>(matrix.at(row, column)));
    }
  }
  return values;
}

}  // namespace

LinearCode::LinearCode(CodeSpec code_spec,
                       const LinearCoefficients& coefficients)
    : Code(std::move(code_spec)),
      decoder_(coefficients.answer),
      takes_uint8_(AllOnes(coefficients.encode)) {
  for (const Matrix* matrix : {&coefficients.encode, &coefficients.answer}) {
    PARM_CHECK(matrix->num_rows() == spec().r);
    PARM_CHECK(matrix->num_columns() == spec().k);
  }
  for (int num_members = 1; num_members <= spec().k; ++num_members) {
    encode_weights_.push_back(
        ToFloats(FoldRoundRobin(coefficients.encode, num_members)));
  }
}

absl::Status LinearCode::CheckDataType(DataType datatype) const {
  if (datatype == DataType::kFp32 || IsHalfFloat(datatype)) {
    return absl::OkStatus();
  }
  if (datatype == DataType::kUint8 && takes_uint8_) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "a code cannot add members of this datatype: got ",
      DataTypeName(datatype), ", want ",
      takes_uint8_ ? "FP32, FP16, BF16 or UINT8" : "FP32, FP16 or BF16",
      " for ", ToString(spec())));
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

  const std::byte* inputs[kMaxMembers];
  const size_t num_members = members.size();
  if (first.datatype == DataType::kUint8) {
    // The mean over all k slots; a repeated member is read again from cache.
    const auto k = static_cast<size_t>(spec().k);
    for (size_t slot = 0; slot < k; ++slot) {
      inputs[slot] = members[slot % num_members].bytes.data();
    }
    RoundedMean(absl::MakeConstSpan(inputs, k), parity.bytes.size(),
                parity.bytes.data());
    return absl::OkStatus();
  }
  for (size_t i = 0; i < num_members; ++i) inputs[i] = members[i].bytes.data();
  const auto weights =
      absl::MakeConstSpan(encode_weights_[num_members - 1])
          .subspan(static_cast<size_t>(parity_index) * num_members,
                   num_members);
  const size_t count = parity.bytes.size() / DataTypeSize(first.datatype);
  const auto views = absl::MakeConstSpan(inputs, num_members);
  if (first.datatype == DataType::kFp32) {
    WeightedSum(weights, views, count, parity.bytes.data());
  } else {
    WeightedSumHalf(first.datatype, weights, views, count, parity.bytes.data());
  }
  return absl::OkStatus();
}

bool LinearCode::Suffices(int num_members, ArrivalMask arrived,
                          int lost) const {
  return decoder_.Suffices(num_members, arrived, lost);
}

absl::StatusOr<DecodeReport> LinearCode::Decode(
    int num_members, absl::Span<const std::optional<TensorView>> outputs,
    int lost, MutableTensorView result) const {
  return decoder_.Decode(num_members, outputs, lost, result);
}

absl::StatusOr<TensorSpec> LinearCode::ParityOutputSpec(
    const TensorSpec& member_output) const {
  return decoder_.AnswerSpec(member_output);
}

}  // namespace parm
