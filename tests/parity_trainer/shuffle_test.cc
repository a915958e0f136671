#include "parity_trainer/shuffle.h"

#include <algorithm>
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

}  // namespace
}  // namespace parm
