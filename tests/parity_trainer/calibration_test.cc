#include "parity_trainer/calibration.h"

#include <cmath>
#include <cstdint>
#include <optional>
#include <random>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parm {
namespace {

using ::testing::IsEmpty;

/// P(right) of a decode with this margin, in the world that Draw draws from.
double Truth(double margin) { return 1 - 0.6 * std::exp(-margin); }

std::vector<JudgedDecode> Draw(int64_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto uniform = [&random] {
    return static_cast<double>(random() >> 11) / 9007199254740992.0;
  };
  std::vector<JudgedDecode> decodes;
  for (int64_t i = 0; i < count; ++i) {
    const double margin = 4 * uniform();
    decodes.push_back({.group = i,
                       .sample = i,
                       .margin = static_cast<float>(margin),
                       .right = uniform() < Truth(margin),
                       .deployed_right = uniform() < 0.95});
  }
  return decodes;
}

TEST(CalibrationTest, TableGrowsAndFindsTheTruth) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed=", seed));
    const std::vector<ConfidenceStep> table = FitConfidence(Draw(20000, seed));
    ASSERT_GT(table.size(), 5U);
    EXPECT_EQ(table[0].margin_at_least, 0);
    int64_t samples = 0;
    for (size_t i = 0; i < table.size(); ++i) {
      samples += table[i].samples;
      if (i == 0) continue;
      EXPECT_GT(table[i].margin_at_least, table[i - 1].margin_at_least);
      EXPECT_GT(table[i].probability_right, table[i - 1].probability_right);
    }
    EXPECT_EQ(samples, 20000);
    for (const float margin : {0.1F, 1.0F, 2.0F, 3.5F}) {
      EXPECT_NEAR(ConfidenceOf(table, margin),
                  Truth(static_cast<double>(margin)), 0.06)
          << margin;
    }
    EXPECT_EQ(ConfidenceOf(table, 100), table.back().probability_right);
  }
}

TEST(CalibrationTest, ErrorIsSmallOnFreshDecodesOfThatWorld) {
  const std::vector<ConfidenceStep> table = FitConfidence(Draw(10000, 1));
  const std::optional<double> error = CalibrationError(table, Draw(10000, 2));
  ASSERT_TRUE(error.has_value());
  EXPECT_LT(*error, 0.03);
  // A table that states too much by 0.2 everywhere is found out.
  std::vector<ConfidenceStep> boastful = table;
  for (ConfidenceStep& step : boastful) step.probability_right += 0.2;
  EXPECT_NEAR(*CalibrationError(boastful, Draw(10000, 2)), 0.2, 0.03);
}

TEST(CalibrationTest, FewSamplesGiveNoFigure) {
  EXPECT_THAT(FitConfidence(Draw(99, 1)), IsEmpty());
  const std::vector<ConfidenceStep> table = FitConfidence(Draw(100, 1));
  EXPECT_FALSE(table.empty());
  EXPECT_EQ(CalibrationError(table, Draw(4999, 2)), std::nullopt);
  EXPECT_EQ(CalibrationError({}, Draw(5000, 2)), std::nullopt);
  EXPECT_THAT(RiskCoverage(Draw(9, 1)), IsEmpty());
}

TEST(CalibrationTest, DecodesOfOneSampleTellLittleMoreThanOne) {
  // Eight groups each.
  std::vector<JudgedDecode> decodes = Draw(8 * 99, 1);
  for (JudgedDecode& decode : decodes) decode.sample /= 8;
  EXPECT_THAT(FitConfidence(decodes), IsEmpty());
  decodes = Draw(8 * 150, 1);
  for (JudgedDecode& decode : decodes) decode.sample /= 8;
  const std::vector<ConfidenceStep> table = FitConfidence(decodes);
  ASSERT_FALSE(table.empty());
  EXPECT_LE(table.size(), 3U);  // one for fifty samples
  decodes = Draw(8 * 4999, 2);
  for (JudgedDecode& decode : decodes) decode.sample /= 8;
  EXPECT_EQ(CalibrationError(table, decodes), std::nullopt);
  decodes = Draw(8 * 5000, 2);
  for (JudgedDecode& decode : decodes) decode.sample /= 8;
  EXPECT_TRUE(CalibrationError(table, decodes).has_value());
  decodes = Draw(8 * 9, 3);
  for (JudgedDecode& decode : decodes) decode.sample /= 8;
  EXPECT_THAT(RiskCoverage(decodes), IsEmpty());
}

TEST(CalibrationTest, EqualMarginsShareOneStep) {
  std::vector<JudgedDecode> decodes(1000);
  for (size_t i = 0; i < decodes.size(); ++i) {
    decodes[i].sample = static_cast<int64_t>(i);
    decodes[i].margin = 1;
    decodes[i].right = i % 4 != 0;
  }
  const std::vector<ConfidenceStep> table = FitConfidence(decodes);
  ASSERT_EQ(table.size(), 1U);
  EXPECT_EQ(table[0].probability_right, 0.75);
}

TEST(CalibrationTest, RiskFallsWithCoverage) {
  const std::vector<RiskPoint> points = RiskCoverage(Draw(20000, 1));
  ASSERT_EQ(points.size(), 10U);
  EXPECT_GT(points[0].accuracy, 0.97);
  EXPECT_GT(points[4].accuracy, points[9].accuracy + 0.05);
  EXPECT_EQ(points[9].coverage, 1);
  for (const RiskPoint& point : points) {
    EXPECT_NEAR(point.deployed_accuracy, 0.95, 0.02);
  }
}

TEST(CalibrationTest, ReliabilityIsTheShareFoundInEachStep) {
  const std::vector<ConfidenceStep> table = {
      {.margin_at_least = 0, .probability_right = 0.4},
      {.margin_at_least = 1, .probability_right = 0.7},
      {.margin_at_least = 2, .probability_right = 0.9}};
  const std::vector<JudgedDecode> decodes = {
      {.margin = 0.5F, .right = false}, {.margin = 0.6F, .right = true},
      {.margin = 2.5F, .right = true},  {.margin = 3.5F, .right = true},
      {.margin = 4.5F, .right = false}, {.margin = 5.5F, .right = true}};
  const std::vector<ReliabilityPoint> points = Reliability(table, decodes);
  ASSERT_EQ(points.size(), 2U);
  EXPECT_EQ(points[0].stated, 0.4);
  EXPECT_EQ(points[0].found, 0.5);
  EXPECT_EQ(points[0].decodes, 2);
  EXPECT_EQ(points[1].stated, 0.9);
  EXPECT_EQ(points[1].found, 0.75);
  EXPECT_THAT(Reliability({}, decodes), IsEmpty());
}

TEST(CalibrationTest, SiblingsAreTheOthersOfTheGroup) {
  std::vector<JudgedDecode> decodes = {
      {.group = 0, .agrees = true},  {.group = 1, .agrees = true},
      {.group = 0, .agrees = false}, {.group = 1, .agrees = true},
      {.group = 2, .agrees = false}, {.group = 2, .agrees = false}};
  SetSiblingsAgree(&decodes);
  const bool want[] = {false, true, true, true, false, false};
  for (size_t i = 0; i < decodes.size(); ++i) {
    EXPECT_EQ(decodes[i].siblings_agree, want[i]) << i;
  }
}

TEST(CalibrationTest, SiblingsThatDifferLowerTheTrust) {
  // The same margins, right more often where siblings agree.
  std::vector<JudgedDecode> decodes = Draw(20000, 7);
  std::mt19937_64 random(8);
  for (JudgedDecode& decode : decodes) {
    decode.siblings_agree = decode.group % 3 != 0;
    if (!*decode.siblings_agree && random() % 2 == 0) decode.right = false;
  }
  const std::optional<SiblingConfidence> tables = FitSiblingConfidence(decodes);
  ASSERT_TRUE(tables.has_value());
  EXPECT_NEAR(ConfidenceOf(tables->agree, 3), Truth(3), 0.05);
  EXPECT_NEAR(ConfidenceOf(tables->differ, 3), Truth(3) / 2, 0.05);
  EXPECT_LT(*SiblingCalibrationError(*tables, decodes), 0.01);
  const std::vector<RiskPoint> alone = RiskCoverage(decodes);
  const std::vector<RiskPoint> with = SiblingRiskCoverage(*tables, decodes);
  ASSERT_EQ(with.size(), alone.size());
  EXPECT_GT(with[4].accuracy, alone[4].accuracy + 0.05);
  EXPECT_EQ(with[9].accuracy, alone[9].accuracy);
}

TEST(CalibrationTest, FewSamplesOrNoSiblingsTellNothing) {
  EXPECT_EQ(FitSiblingConfidence(Draw(20000, 1)), std::nullopt);
  std::vector<JudgedDecode> decodes = Draw(20000, 1);
  for (JudgedDecode& decode : decodes) decode.siblings_agree = true;
  EXPECT_EQ(FitSiblingConfidence(decodes), std::nullopt);
  const SiblingConfidence tables = {.agree = FitConfidence(decodes),
                                    .differ = FitConfidence(decodes)};
  decodes.resize(4999);
  EXPECT_EQ(SiblingCalibrationError(tables, decodes), std::nullopt);
}

}  // namespace
}  // namespace parm
