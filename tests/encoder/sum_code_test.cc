// Scheme `sum` with numbers that can be followed by eye. Its properties over
// all sizes and patterns are in code_contract_test.cc.

#include "encoder/sum_code.h"

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

std::unique_ptr<const Code> Sum(int k) {
  return kSumScheme.create({.scheme = "sum", .k = k});
}

OwnedTensor Floats(const std::vector<double>& values) {
  return OwnedTensor::Of(DataType::kFp32,
                         {1, static_cast<int64_t>(values.size())}, values);
}

OwnedTensor Bytes(const std::vector<double>& values) {
  return OwnedTensor::Of(DataType::kUint8,
                         {1, static_cast<int64_t>(values.size())}, values);
}

std::vector<double> Encode(const Code& code,
                           const std::vector<OwnedTensor>& members) {
  std::vector<TensorView> views;
  for (const OwnedTensor& member : members) views.push_back(member.View());
  OwnedTensor parity =
      OwnedTensor::Zeros(members[0].datatype, members[0].shape);
  EXPECT_THAT(code.Encode(0, views, parity.MutableView()), IsOk());
  return parity.Values();
}

TEST(SumCodeTest, AddsFloatMembers) {
  EXPECT_THAT(Encode(*Sum(2), {Floats({1, 2, 3}), Floats({10, 20, -30})}),
              ElementsAre(11, 22, -27));
}

TEST(SumCodeTest, TakesTheRoundedMeanOfBytes) {
  // Means 0.5, 100, 254.5 and 255: halves go up.
  EXPECT_THAT(
      Encode(*Sum(2), {Bytes({0, 50, 254, 255}), Bytes({1, 150, 255, 255})}),
      ElementsAre(1, 100, 255, 255));
  // Means 1/3, 2/3 and 4/3.
  EXPECT_THAT(
      Encode(*Sum(3), {Bytes({1, 1, 2}), Bytes({0, 1, 1}), Bytes({0, 0, 1})}),
      ElementsAre(0, 1, 1));
}

TEST(SumCodeTest, RepeatsMembersOfShortGroups) {
  // Slots X0 X1 X0.
  EXPECT_THAT(Encode(*Sum(3), {Floats({1}), Floats({10})}), ElementsAre(12));
  EXPECT_THAT(Encode(*Sum(3), {Bytes({10}), Bytes({40})}), ElementsAre(20));
  // Alone in a group of four.
  EXPECT_THAT(Encode(*Sum(4), {Floats({3})}), ElementsAre(12));
  EXPECT_THAT(Encode(*Sum(4), {Bytes({3})}), ElementsAre(3));
}

TEST(SumCodeTest, SubtractsSiblingsFromTheParityAnswer) {
  const OwnedTensor sibling = Floats({4, 5});
  const OwnedTensor answer = Floats({5, 7});
  OwnedTensor result = Floats({0, 0});
  PARM_ASSERT_OK_AND_ASSIGN(
      const DecodeReport report,
      Sum(2)->Decode(2, {std::nullopt, sibling.View(), answer.View()}, 0,
                     result.MutableView()));
  EXPECT_THAT(result.Values(), ElementsAre(1, 2));
  EXPECT_EQ(report.noise_gain, 2);
}

TEST(SumCodeTest, DividesByTheRepeatsOfAShortGroup) {
  // Slots X0 X1 X0: F(X0) = (answer - F(X1)) / 2.
  const OwnedTensor sibling = Floats({4});
  const OwnedTensor answer = Floats({10});
  OwnedTensor result = Floats({0});
  PARM_ASSERT_OK_AND_ASSIGN(
      const DecodeReport report,
      Sum(3)->Decode(
          2, {std::nullopt, sibling.View(), std::nullopt, answer.View()}, 0,
          result.MutableView()));
  EXPECT_THAT(result.Values(), ElementsAre(3));
  EXPECT_EQ(report.noise_gain, 1);
}

TEST(SumCodeTest, NoiseGainOfFullGroupsIsK) {
  for (int k = 2; k <= 8; ++k) {
    const OwnedTensor output = Floats({1});
    std::vector<std::optional<TensorView>> outputs(static_cast<size_t>(k) + 1,
                                                   output.View());
    OwnedTensor result = Floats({0});
    PARM_ASSERT_OK_AND_ASSIGN(
        const DecodeReport report,
        Sum(k)->Decode(k, outputs, k - 1, result.MutableView()));
    EXPECT_EQ(report.noise_gain, k);
  }
}

TEST(SumCodeTest, RefusesDatatypesItCannotAdd) {
  for (DataType datatype : {DataType::kInt8, DataType::kInt32, DataType::kFp64,
                            DataType::kInt64, DataType::kBool}) {
    EXPECT_THAT(Sum(2)->ParityQuerySpec({"x", datatype, {1, 4}}, 2),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("want FP32, FP16, BF16 or UINT8")));
    const OwnedTensor member = OwnedTensor::Zeros(datatype, {1, 4});
    OwnedTensor parity = member;
    EXPECT_THAT(
        Sum(2)->Encode(0, {member.View(), member.View()}, parity.MutableView()),
        StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST(SumCodeTest, RefusesASumThatOverflows) {
  const OwnedTensor large = Floats({3e38});
  const OwnedTensor sibling = Floats({-3e38});
  OwnedTensor result = Floats({0});
  EXPECT_THAT(Sum(2)->Decode(2, {std::nullopt, sibling.View(), large.View()}, 0,
                             result.MutableView()),
              StatusIs(absl::StatusCode::kDataLoss));
}

}  // namespace
}  // namespace parm
