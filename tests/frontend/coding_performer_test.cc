#include "frontend/coding_performer.h"

#include <limits>

#include "encoder/code.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/frontend/tensors.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::ElementsAre;

std::unique_ptr<const Code> CodeOf(const std::string& scheme, int k) {
  absl::StatusOr<std::unique_ptr<const Code>> code =
      CreateCode({.scheme = scheme, .k = k, .r = 1});
  EXPECT_THAT(code, IsOk());
  return *std::move(code);
}

TensorSpec OutputSpec(int64_t classes) {
  return {.name = "y", .datatype = DataType::kFp32, .shape = {-1, classes}};
}

TEST(CodingPerformerTest, EncodesTheSumOfMembers) {
  const auto code = CodeOf("sum", 2);
  const oip::Tensor a = Fp32Tensor("x", {1, 3}, {1, 2, 3});
  const oip::Tensor b = Fp32Tensor("x", {1, 3}, {10, 20, 30});
  PARM_ASSERT_OK_AND_ASSIGN(
      const oip::Tensor parity,
      EncodeParityQuery(*code, 0, {MemberTensors{&a}, MemberTensors{&b}}));
  EXPECT_EQ(parity.spec.name, "x");
  EXPECT_THAT(parity.spec.shape, ElementsAre(1, 3));
  EXPECT_THAT(Floats(parity), ElementsAre(11, 22, 33));
}

TEST(CodingPerformerTest, JoinsTheQueriesOfAMemberFirst) {
  const auto code = CodeOf("sum", 2);
  const oip::Tensor a = Fp32Tensor("x", {1, 2}, {1, 2});
  const oip::Tensor b = Fp32Tensor("x", {1, 2}, {3, 4});
  const oip::Tensor both = Fp32Tensor("x", {2, 2}, {10, 20, 30, 40});
  PARM_ASSERT_OK_AND_ASSIGN(
      const oip::Tensor parity,
      EncodeParityQuery(*code, 0,
                        {MemberTensors{&a, &b}, MemberTensors{&both}}));
  EXPECT_THAT(parity.spec.shape, ElementsAre(2, 2));
  EXPECT_THAT(Floats(parity), ElementsAre(11, 22, 33, 44));
}

TEST(CodingPerformerTest, RefusesToEncodeWhatDoesNotFit) {
  const auto code = CodeOf("sum", 2);
  const oip::Tensor a = Fp32Tensor("x", {1, 2}, {1, 2});
  const oip::Tensor b = Fp32Tensor("x", {1, 3}, {1, 2, 3});
  EXPECT_THAT(
      EncodeParityQuery(*code, 0, {MemberTensors{&a}, MemberTensors{&b}}),
      StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(EncodeParityQuery(*code, 0, {}),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(EncodeParityQuery(*code, 0, {MemberTensors{&a, &b}}),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(CodingPerformerTest, RebuildsEveryLostMemberOfASum) {
  const auto code = CodeOf("sum", 3);
  const oip::Tensor outputs[] = {Fp32Tensor("y", {2, 2}, {1, 2, 3, 4}),
                                 Fp32Tensor("y", {2, 2}, {5, 6, 7, 8}),
                                 Fp32Tensor("y", {2, 2}, {9, 10, 11, 12})};
  const oip::Tensor parity = Fp32Tensor("y", {2, 2}, {15, 18, 21, 24});
  for (int lost = 0; lost < 3; ++lost) {
    std::vector<const oip::Tensor*> slots = {&outputs[0], &outputs[1],
                                             &outputs[2], &parity};
    slots[static_cast<size_t>(lost)] = nullptr;
    PARM_ASSERT_OK_AND_ASSIGN(
        const DecodedOutput decoded,
        DecodeMemberOutput(*code, 3, slots, lost, OutputSpec(2), 2));
    EXPECT_EQ(decoded.tensor.spec.name, "y");
    EXPECT_THAT(decoded.tensor.spec.shape, ElementsAre(2, 2));
    EXPECT_EQ(Floats(decoded.tensor), Floats(outputs[lost])) << lost;
    EXPECT_GE(decoded.report.noise_gain, 1);
    EXPECT_EQ(decoded.report.used, 0b1111U & ~(1U << lost));
  }
}

TEST(CodingPerformerTest, CutsAMemberOutOfAShortPack) {
  // Two of four members, two rows each: the answer has four rows, which would
  // also be a full group's with one row each.
  const auto code = CodeOf("pack", 4);
  const oip::Tensor packed = Fp32Tensor("y", {4, 2}, {1, 2, 3, 4, 5, 6, 7, 8});
  PARM_ASSERT_OK_AND_ASSIGN(
      const DecodedOutput decoded,
      DecodeMemberOutput(*code, 2,
                         {nullptr, nullptr, nullptr, nullptr, &packed}, 1,
                         OutputSpec(2), 2));
  EXPECT_THAT(Floats(decoded.tensor), ElementsAre(5, 6, 7, 8));
}

TEST(CodingPerformerTest, SaysWhyItCannotDecode) {
  const auto code = CodeOf("sum", 2);
  const oip::Tensor parity = Fp32Tensor("y", {1, 2}, {1, 2});
  EXPECT_THAT(DecodeMemberOutput(*code, 2, {nullptr, nullptr, &parity}, 0,
                                 OutputSpec(2), 1),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  const oip::Tensor nan =
      Fp32Tensor("y", {1, 2}, {1, std::numeric_limits<float>::quiet_NaN()});
  EXPECT_THAT(DecodeMemberOutput(*code, 2, {nullptr, &nan, &parity}, 0,
                                 OutputSpec(2), 1),
              StatusIs(absl::StatusCode::kDataLoss));
  const oip::Tensor wider = Fp32Tensor("y", {1, 3}, {1, 2, 3});
  EXPECT_THAT(DecodeMemberOutput(*code, 2, {nullptr, &wider, &parity}, 0,
                                 OutputSpec(2), 1),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(DecodeMemberOutput(*code, 2, {nullptr, &parity, &parity}, 0,
                                 {.name = "y", .datatype = DataType::kFp32}, 1),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(CodingPerformerTest, ADecodeIsAsSureAsItsLeastRow) {
  const std::vector<ConfidenceStep> table = {
      {.probability_right = 0.25},
      {.margin_at_least = 1, .probability_right = 0.75}};
  const std::vector<ConfidenceStep> other = {{.probability_right = 0.5}};
  const oip::Tensor sure = Fp32Tensor("y", {2, 2}, {1, 2, 7, 3});
  const oip::Tensor unsure = Fp32Tensor("y", {2, 2}, {1, 2, 3, 3.5F});
  EXPECT_EQ(ConfidenceOfDecode({table}, sure), 0.75F);
  EXPECT_EQ(ConfidenceOfDecode({table}, unsure), 0.25F);
  EXPECT_EQ(ConfidenceOfDecode({table, other}, sure), 0.5F);
}

TEST(CodingPerformerTest, ConfidenceNeedsATableOfEachParity) {
  const std::vector<ConfidenceStep> table = {{.probability_right = 0.5}};
  const oip::Tensor decoded = Fp32Tensor("y", {1, 2}, {1, 2});
  EXPECT_EQ(ConfidenceOfDecode({}, decoded), std::nullopt);
  EXPECT_EQ(ConfidenceOfDecode({{}}, decoded), std::nullopt);
  EXPECT_EQ(ConfidenceOfDecode({table, {}}, decoded), std::nullopt);
  const oip::Tensor none = Fp32Tensor("y", {0, 2}, {});
  EXPECT_EQ(ConfidenceOfDecode({table}, none), std::nullopt);
}

TEST(CodingPerformerTest, ComparesTopClassesRowByRow) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const oip::Tensor decoded = Fp32Tensor("y", {3, 2}, {1, 2, 5, 4, nan, 1});
  const oip::Tensor original = Fp32Tensor("y", {3, 2}, {0, 9, 1, 2, 3, 1});
  const ClassAgreement agreement = CompareTopClass(decoded, original);
  EXPECT_EQ(agreement.compared, 3U);
  EXPECT_EQ(agreement.agreed, 1U);
}

TEST(CodingPerformerTest, ComparesNothingThatDiffersInShape) {
  const oip::Tensor a = Fp32Tensor("y", {1, 2}, {1, 2});
  const oip::Tensor b = Fp32Tensor("y", {2, 1}, {1, 2});
  oip::Tensor ints = a;
  ints.spec.datatype = DataType::kInt32;
  EXPECT_EQ(CompareTopClass(a, b).compared, 0U);
  EXPECT_EQ(CompareTopClass(a, ints).compared, 0U);
  const oip::Tensor none = Fp32Tensor("y", {0, 2}, {});
  EXPECT_EQ(CompareTopClass(none, none).compared, 0U);
}

}  // namespace
}  // namespace parm
