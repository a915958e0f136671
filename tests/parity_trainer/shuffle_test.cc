#include "parity_trainer/shuffle.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parm {
namespace {

TEST(ShuffleTest, EveryOrderIsAPermutation) {
  for (const int64_t count : {0, 1, 2, 100}) {
    std::vector<int64_t> order = ShuffledIndices(count, /*seed=*/5, 3);
    std::sort(order.begin(), order.end());
    ASSERT_EQ(static_cast<int64_t>(order.size()), count);
    for (int64_t i = 0; i < count; ++i) {
      EXPECT_EQ(order[static_cast<size_t>(i)], i);
    }
  }
}

TEST(ShuffleTest, SeedAndEpochAloneDecide) {
  const std::vector<int64_t> order = ShuffledIndices(100, 5, 3);
  EXPECT_EQ(ShuffledIndices(100, 5, 3), order);
  EXPECT_NE(ShuffledIndices(100, 5, 4), order);
  EXPECT_NE(ShuffledIndices(100, 6, 3), order);
}

// A checkpoint of one build must find the same order in the next.
TEST(ShuffleTest, OrderIsTheSameEverywhere) {
  EXPECT_THAT(ShuffledIndices(8, 1, 0),
              testing::ElementsAre(6, 5, 2, 4, 3, 1, 0, 7));
}

TEST(ShuffleTest, HeldOutSamplesAreNeverLearnedFrom) {
  for (const int64_t num_held_out : {0, 1, 30, 100}) {
    SCOPED_TRACE(num_held_out);
    const HeldOutSplit split = HoldOut(100, num_held_out, /*seed=*/5);
    ASSERT_EQ(static_cast<int64_t>(split.held_out.size()), num_held_out);
    std::vector<int64_t> all = split.EpochOrder(/*seed=*/5, /*epoch=*/2);
    all.insert(all.end(), split.held_out.begin(), split.held_out.end());
    std::sort(all.begin(), all.end());
    std::vector<int64_t> want(100);
    std::iota(want.begin(), want.end(), int64_t{0});
    EXPECT_EQ(all, want);
  }
}

TEST(ShuffleTest, HeldOutSamplesDependOnSeedAlone) {
  EXPECT_EQ(HoldOut(100, 20, 5).held_out, HoldOut(100, 20, 5).held_out);
  EXPECT_NE(HoldOut(100, 20, 5).held_out, HoldOut(100, 20, 6).held_out);
}

TEST(ShuffleTest, EveryStepHasItsOwnSeed) {
  std::set<uint64_t> seen;
  for (uint64_t seed = 0; seed < 10; ++seed) {
    for (int64_t epoch = 0; epoch < 10; ++epoch) {
      for (int64_t first = 0; first < 1280; first += 128) {
        seen.insert(StepSeed(seed, epoch, first));
      }
    }
  }
  EXPECT_EQ(seen.size(), 1000U);
}

}  // namespace
}  // namespace parm
