#include "base/tensor.h"

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::Eq;
using ::testing::HasSubstr;

TEST(TensorTest, EveryDatatypeNameReadsBack) {
  for (int i = 1; i <= 14; ++i) {
    const auto datatype = static_cast<DataType>(i);
    EXPECT_EQ(ParseDataType(DataTypeName(datatype)), datatype)
        << DataTypeName(datatype);
  }
}

TEST(TensorTest, DatatypesHaveTheirProtocolNamesAndSizes) {
  EXPECT_EQ(DataTypeName(DataType::kFp32), "FP32");
  EXPECT_EQ(DataTypeName(DataType::kBf16), "BF16");
  EXPECT_EQ(DataTypeName(DataType::kBytes), "BYTES");
  EXPECT_EQ(DataTypeSize(DataType::kBool), 1U);
  EXPECT_EQ(DataTypeSize(DataType::kInt16), 2U);
  EXPECT_EQ(DataTypeSize(DataType::kFp16), 2U);
  EXPECT_EQ(DataTypeSize(DataType::kFp32), 4U);
  EXPECT_EQ(DataTypeSize(DataType::kUint64), 8U);
  EXPECT_EQ(DataTypeSize(DataType::kBytes), 0U);
}

TEST(TensorTest, OtherNamesAndNumbersAreInvalid) {
  for (const char* name : {"", "INVALID", "fp32", "FP32 ", "FLOAT", "FP3"}) {
    EXPECT_EQ(ParseDataType(name), DataType::kInvalid) << name;
  }
  EXPECT_EQ(DataTypeSize(static_cast<DataType>(200)), 0U);
  EXPECT_EQ(DataTypeName(static_cast<DataType>(200)), "INVALID");
}

TEST(TensorTest, CountsElementsAndBytesOfAShape) {
  EXPECT_THAT(NumElements({}), IsOkAndHolds(Eq(1)));
  EXPECT_THAT(NumElements({2, 3, 4}), IsOkAndHolds(Eq(24)));
  EXPECT_THAT(NumElements({5, 0, 3}), IsOkAndHolds(Eq(0)));
  // However large the others are, and wherever the zero stands.
  constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
  EXPECT_THAT(NumElements({kHuge, kHuge, 0}), IsOkAndHolds(Eq(0)));
  EXPECT_THAT(NumElements({0, kHuge, kHuge}), IsOkAndHolds(Eq(0)));
  EXPECT_THAT(NumBytes(DataType::kFp32, {2, 3}), IsOkAndHolds(Eq(24)));
  EXPECT_THAT(NumBytes(DataType::kFp64, {}), IsOkAndHolds(Eq(8)));
}

TEST(TensorTest, RefusesNegativeDimensionsEvenBehindAZero) {
  for (const std::vector<int64_t>& shape :
       {std::vector<int64_t>{-1},
        {2, -1},
        {-1, 0},
        {0, -1},
        {std::numeric_limits<int64_t>::min()}}) {
    EXPECT_THAT(NumElements(shape), StatusIs(absl::StatusCode::kInvalidArgument,
                                             HasSubstr("negative dimension")))
        << ShapeToString(shape);
  }
}

TEST(TensorTest, RefusesShapesBeyondTheBound) {
  constexpr int64_t kBound = int64_t{1} << 62;
  EXPECT_THAT(NumElements({kBound}), IsOkAndHolds(Eq(kBound)));
  EXPECT_THAT(NumElements({int64_t{1} << 31, int64_t{1} << 31}),
              IsOkAndHolds(Eq(kBound)));
  for (const std::vector<int64_t>& shape :
       {std::vector<int64_t>{kBound + 1},
        {int64_t{1} << 31, (int64_t{1} << 31) + 1},
        {3037000500, 3037000500, 3037000500},
        std::vector<int64_t>(16, std::numeric_limits<int64_t>::max())}) {
    EXPECT_THAT(NumElements(shape), StatusIs(absl::StatusCode::kInvalidArgument,
                                             HasSubstr("too large")))
        << ShapeToString(shape);
  }
  EXPECT_THAT(
      NumBytes(DataType::kFp32, {kBound / 2}),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("too large")));
}

TEST(TensorTest, RefusesBytesOfATypeWithoutASize) {
  for (DataType datatype :
       {DataType::kBytes, DataType::kInvalid, static_cast<DataType>(99)}) {
    EXPECT_THAT(NumBytes(datatype, {1}),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("no fixed size")));
  }
}

TEST(TensorTest, ShapesReadWellInMessages) {
  EXPECT_EQ(ShapeToString({}), "[]");
  EXPECT_EQ(ShapeToString({-1, 28, 28}), "[-1,28,28]");
}

TEST(TensorTest, SpecsAreEqualWhenAllPartsAre) {
  const TensorSpec spec = {
      .name = "x", .datatype = DataType::kFp32, .shape = {1}};
  TensorSpec other = spec;
  EXPECT_EQ(other, spec);
  other.shape = {1, 1};
  EXPECT_NE(other, spec);
}

}  // namespace
}  // namespace parm
