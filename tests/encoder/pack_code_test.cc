// Scheme `pack` with numbers that can be followed by eye. Its properties over
// all sizes and patterns are in code_contract_test.cc.

#include "encoder/pack_code.h"

#include <limits>
#include <optional>
#include <vector>

#include "encoder/code.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/encoder/reference_schemes.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::unique_ptr<const Code> Pack(int k) {
  return kPackScheme.create({.scheme = "pack", .k = k});
}

TEST(PackCodeTest, PutsMembersSideBySideOnTheBatch) {
  const OwnedTensor a = OwnedTensor::Of(DataType::kUint8, {2, 2}, {1, 2, 3, 4});
  const OwnedTensor b = OwnedTensor::Of(DataType::kUint8, {2, 2}, {5, 6, 7, 8});
  OwnedTensor parity = OwnedTensor::Zeros(DataType::kUint8, {4, 2});
  ASSERT_THAT(Pack(2)->Encode(0, {a.View(), b.View()}, parity.MutableView()),
              IsOk());
  EXPECT_THAT(parity.Values(), ElementsAre(1, 2, 3, 4, 5, 6, 7, 8));
}

TEST(PackCodeTest, CutsTheLostMembersRowsOut) {
  const OwnedTensor answer =
      OwnedTensor::Of(DataType::kFp32, {4, 2}, {1, 2, 3, 4, 5, 6, 7, 8});
  OwnedTensor result = OwnedTensor::Zeros(DataType::kFp32, {2, 2});
  PARM_ASSERT_OK_AND_ASSIGN(
      const DecodeReport report,
      Pack(2)->Decode(2, {std::nullopt, std::nullopt, answer.View()}, 1,
                      result.MutableView()));
  EXPECT_THAT(result.Values(), ElementsAre(5, 6, 7, 8));
  EXPECT_EQ(report.noise_gain, 1);
}

TEST(PackCodeTest, ShortGroupsMakeSmallerBatches) {
  PARM_ASSERT_OK_AND_ASSIGN(
      const TensorSpec query,
      Pack(4)->ParityQuerySpec({"x", DataType::kInt8, {2, 5}}, 3));
  EXPECT_EQ(query, (TensorSpec{"x", DataType::kInt8, {6, 5}}));
}

TEST(PackCodeTest, OfOneIsReplication) {
  const TensorSpec member = {"x", DataType::kFp16, {3, 5}};
  EXPECT_THAT(Pack(1)->ParityQuerySpec(member, 1), IsOkAndHolds(member));
}

TEST(PackCodeTest, CopiesAnyDatatypeOfFixedSize) {
  for (int value = 1; value < static_cast<int>(DataType::kBytes); ++value) {
    const auto datatype = static_cast<DataType>(value);
    OwnedTensor a = OwnedTensor::Zeros(datatype, {1, 3});
    OwnedTensor b = a;
    for (size_t i = 0; i < a.bytes.size(); ++i) {
      a.bytes[i] = static_cast<std::byte>(i);
      b.bytes[i] = static_cast<std::byte>(100 + i);
    }
    OwnedTensor parity = OwnedTensor::Zeros(datatype, {2, 3});
    ASSERT_THAT(Pack(2)->Encode(0, {a.View(), b.View()}, parity.MutableView()),
                IsOk())
        << DataTypeName(datatype);
    std::vector<std::byte> want = a.bytes;
    want.insert(want.end(), b.bytes.begin(), b.bytes.end());
    EXPECT_EQ(parity.bytes, want) << DataTypeName(datatype);
  }
}

// Only values that are used count.
TEST(PackCodeTest, IgnoresBadValuesInOtherMembersRows) {
  const OwnedTensor answer = OwnedTensor::Of(
      DataType::kFp32, {2, 1}, {std::numeric_limits<double>::quiet_NaN(), 7});
  OwnedTensor result = OwnedTensor::Zeros(DataType::kFp32, {1, 1});
  const std::vector<std::optional<TensorView>> outputs = {
      std::nullopt, std::nullopt, answer.View()};
  ASSERT_THAT(Pack(2)->Decode(2, outputs, 1, result.MutableView()), IsOk());
  EXPECT_THAT(result.Values(), ElementsAre(7));
  EXPECT_THAT(Pack(2)->Decode(2, outputs, 0, result.MutableView()),
              StatusIs(absl::StatusCode::kDataLoss));
}

// The answer to a short group is not that of a full one.
TEST(PackCodeTest, RefusesAnswersOfAnotherGroupSize) {
  const OwnedTensor answer = OwnedTensor::Zeros(DataType::kFp32, {4, 1});
  OwnedTensor result = OwnedTensor::Zeros(DataType::kFp32, {1, 1});
  const std::vector<std::optional<TensorView>> outputs = {
      std::nullopt, std::nullopt, std::nullopt, std::nullopt, answer.View()};
  EXPECT_THAT(Pack(4)->Decode(4, outputs, 0, result.MutableView()), IsOk());
  EXPECT_THAT(
      Pack(4)->Decode(3, outputs, 0, result.MutableView()),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("3 times [1,1]")));
}

TEST(PackCodeTest, RefusesBatchesThatOverflow) {
  const int64_t huge = std::numeric_limits<int64_t>::max() / 2;
  for (const TensorSpec& member : std::vector<TensorSpec>{
           {"x", DataType::kUint8, {huge, 0}},
           {"x", DataType::kUint8, {int64_t{1} << 58, 4}}}) {
    EXPECT_THAT(Pack(16)->ParityQuerySpec(member, 16),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

}  // namespace
}  // namespace parm
