#include "backends/keyed_draws.h"

#include <cmath>
#include <set>

#include "gtest/gtest.h"

namespace parm {
namespace {

constexpr uint64_t kSeed = 11;
constexpr int kNumDraws = 20000;

TEST(KeyedDrawsTest, SameKeyDrawsTheSame) {
  const KeyedDraws first(kSeed, "w1");
  const KeyedDraws second(kSeed, "w1");
  for (uint64_t luck = 1; luck < 100; ++luck) {
    EXPECT_EQ(first.Bits(Luck{luck}, DrawKind::kDrop, 0),
              second.Bits(Luck{luck}, DrawKind::kDrop, 0));
  }
}

TEST(KeyedDrawsTest, EachPartOfTheKeyCounts) {
  const Luck luck{1};
  std::set<uint64_t> seen = {
      KeyedDraws(kSeed, "w1").Bits(luck, DrawKind::kDrop, 0),
      KeyedDraws(kSeed + 1, "w1").Bits(luck, DrawKind::kDrop, 0),
      KeyedDraws(kSeed, "w2").Bits(luck, DrawKind::kDrop, 0),
      KeyedDraws(kSeed, "w1").Bits(Luck{2}, DrawKind::kDrop, 0),
      KeyedDraws(kSeed, "w1").Bits(luck, DrawKind::kError, 0),
      KeyedDraws(kSeed, "w1").Bits(luck, DrawKind::kDrop, 1)};
  EXPECT_EQ(seen.size(), 6U);
}

TEST(KeyedDrawsTest, DrawsOfOneKeyNeverChange) {
  // Recorded runs replay only if these stay as they are.
  EXPECT_EQ(KeyedDraws(1, "w1").Bits(Luck{1}, DrawKind::kServiceTime, 0),
            0x7de74c4ea251a386U);
}

TEST(KeyedDrawsTest, UniformFillsTheUnitInterval) {
  const KeyedDraws draws(kSeed, "w1");
  double sum = 0;
  for (uint64_t luck = 0; luck < kNumDraws; ++luck) {
    const double draw = draws.Uniform(Luck{luck}, DrawKind::kDrop, 0);
    ASSERT_GE(draw, 0);
    ASSERT_LT(draw, 1);
    sum += draw;
  }
  // Standard error 0.002.
  EXPECT_NEAR(sum / kNumDraws, 0.5, 0.01);
}

TEST(KeyedDrawsTest, NormalHasUnitSpreadAndBound) {
  const KeyedDraws draws(kSeed, "w1");
  double sum = 0;
  double sum_of_squares = 0;
  for (uint64_t luck = 0; luck < kNumDraws; ++luck) {
    const double draw = draws.ClippedNormal(Luck{luck}, DrawKind::kServiceTime);
    ASSERT_LE(std::abs(draw), 3);
    sum += draw;
    sum_of_squares += draw * draw;
  }
  EXPECT_NEAR(sum / kNumDraws, 0, 0.03);
  EXPECT_NEAR(sum_of_squares / kNumDraws, 1, 0.05);
}

}  // namespace
}  // namespace parm
