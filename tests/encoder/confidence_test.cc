#include "encoder/confidence.h"

#include <cmath>
#include <limits>
#include <vector>

#include "gtest/gtest.h"

namespace parm {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<ConfidenceStep> Table() {
  return {{.margin_at_least = 0, .probability_right = 0.4},
          {.margin_at_least = 1, .probability_right = 0.7},
          {.margin_at_least = 2.5, .probability_right = 0.9}};
}

TEST(ConfidenceTest, UsualPatternIsOneLossWithAllParities) {
  EXPECT_EQ(UsualPattern(1), DecodePattern{});
  EXPECT_EQ(UsualPattern(3), (DecodePattern{.losses = 1, .parities = 7}));
}

TEST(ConfidenceTest, MarginIsGreatestLessNext) {
  EXPECT_EQ(MarginOf({1, 5, 3}), 2);
  EXPECT_EQ(MarginOf({5, 1, 3}), 2);
  EXPECT_EQ(MarginOf({-4, -1}), 3);
  EXPECT_EQ(MarginOf({2, 2, 2}), 0);
  EXPECT_EQ(MarginOf({7}), 0);
  EXPECT_EQ(MarginOf({}), 0);
}

TEST(ConfidenceTest, MarginOfWhatIsNotFiniteIsNone) {
  EXPECT_TRUE(std::isnan(MarginOf({1, kNan, 3})));
  EXPECT_TRUE(std::isnan(MarginOf({kInfinity, 1})));
  EXPECT_TRUE(std::isnan(MarginOf({1, -kInfinity})));
}

TEST(ConfidenceTest, StepsBeginAtTheirMargin) {
  const std::vector<ConfidenceStep> table = Table();
  EXPECT_EQ(ConfidenceOf(table, 0), 0.4);
  EXPECT_EQ(ConfidenceOf(table, 0.999F), 0.4);
  EXPECT_EQ(ConfidenceOf(table, 1), 0.7);
  EXPECT_EQ(ConfidenceOf(table, 2.499F), 0.7);
  EXPECT_EQ(ConfidenceOf(table, 2.5F), 0.9);
  EXPECT_EQ(ConfidenceOf(table, 1e30F), 0.9);
}

TEST(ConfidenceTest, WhatIsOutsideTheTableIsTrustedLeast) {
  std::vector<ConfidenceStep> table = Table();
  EXPECT_EQ(ConfidenceOf(table, kNan), 0.4);
  table[0].margin_at_least = 0.5;
  EXPECT_EQ(ConfidenceOf(table, 0.1F), 0.4);
}

TEST(ConfidenceTest, AnAnswerIsAsSureAsItsLeastRow) {
  const std::vector<float> logits = {0, 3,    5,    // margin 2
                                     1, 0.5F, 0,    // 0.5
                                     9, 0,    -1};  // 9
  EXPECT_EQ(LeastConfidenceOf(Table(), logits, 3), 0.4);
  EXPECT_EQ(LeastConfidenceOf(Table(), {0, 3, 5, 9, 0, -1}, 2), 0.7);
  EXPECT_EQ(LeastConfidenceOf(Table(), {9, 0, -1}, 1), 0.9);
}

}  // namespace
}  // namespace parm
