#include "parity_trainer/grouping.h"

#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parm {
namespace {

using ::testing::ElementsAre;

TEST(GroupingTest, EverySampleHasOnePlaceInEachGrouping) {
  for (const int64_t size : {4, 5, 41, 1000}) {
    for (int number = 0; number < 3; ++number) {
      SCOPED_TRACE(absl::StrCat("size=", size, " number=", number));
      const Grouping grouping(size, 4, number);
      ASSERT_EQ(grouping.num_groups(), (size + 3) / 4);
      std::set<int64_t> seen;
      for (int64_t group = 0; group < grouping.num_groups(); ++group) {
        std::set<int64_t> members;
        for (int64_t slot = 0; slot < 4; ++slot) {
          const int64_t sample = grouping.SampleAt(group, slot);
          EXPECT_GE(sample, 0);
          EXPECT_LT(sample, size);
          members.insert(sample);
          if (grouping.IsFiller(group, slot)) {
            EXPECT_EQ(group, grouping.num_groups() - 1);
          } else {
            EXPECT_TRUE(seen.insert(sample).second) << sample;
          }
        }
        EXPECT_EQ(members.size(), 4U) << group;
      }
      EXPECT_EQ(static_cast<int64_t>(seen.size()), size);
    }
  }
}

TEST(GroupingTest, TheFirstIsTheSetsOwnOrder) {
  const Grouping grouping(10, 4, 0);
  for (int64_t place = 0; place < 10; ++place) {
    EXPECT_EQ(grouping.SampleAt(place / 4, place % 4), place);
  }
  EXPECT_EQ(grouping.SampleAt(2, 2), 2);
  EXPECT_TRUE(grouping.IsFiller(2, 2));
  EXPECT_FALSE(grouping.IsFiller(2, 1));
}

TEST(GroupingTest, OrderIsTheSameInEveryVersion) {
  // A figure is compared with others of the same groupings only.
  const Grouping grouping(24, 2, 1);
  std::vector<int64_t> samples;
  for (int64_t group = 0; group < 12; ++group) {
    for (int64_t slot = 0; slot < 2; ++slot) {
      samples.push_back(grouping.SampleAt(group, slot));
    }
  }
  EXPECT_THAT(samples, ElementsAre(5, 4, 3, 2, 1, 0, 11, 6, 8, 9, 10, 7, 16, 12,
                                   15, 14, 17, 13, 18, 19, 20, 21, 22, 23));
}

TEST(GroupingTest, LastGroupIsFilledFromItsOwnHalf) {
  for (int number = 0; number < 3; ++number) {
    const Grouping grouping(15, 4, number);
    EXPECT_TRUE(grouping.IsFiller(3, 3));
    EXPECT_EQ(grouping.SampleAt(3, 3), grouping.SampleAt(1, 3));
  }
  const Grouping two_groups(5, 4, 1);
  EXPECT_EQ(two_groups.SampleAt(1, 1), two_groups.SampleAt(0, 1));
}

TEST(GroupingTest, HalvesNeverShareASample) {
  for (int number = 0; number < 4; ++number) {
    const Grouping grouping(1000, 3, number);
    int64_t moved = 0;
    for (int64_t group = 0; group < grouping.num_groups(); ++group) {
      for (int64_t slot = 0; slot < 3; ++slot) {
        const int64_t sample = grouping.SampleAt(group, slot);
        EXPECT_EQ(sample / 3 % 2, group % 2) << sample;
        if (grouping.IsFiller(group, slot)) continue;
        if (sample / 3 != group) ++moved;
      }
    }
    EXPECT_EQ(moved > 800, number > 0) << moved;
  }
}

TEST(GroupingTest, BlocksNeverShareASample) {
  const Grouping own_order(1000, 3, 0);
  ASSERT_EQ(own_order.num_blocks(), 20);
  std::set<int64_t> blocks;
  for (int number = 0; number < 4; ++number) {
    const Grouping grouping(1000, 3, number);
    for (int64_t group = 0; group < grouping.num_groups(); ++group) {
      const int64_t block = grouping.BlockOf(group);
      blocks.insert(block);
      for (int64_t slot = 0; slot < 3; ++slot) {
        if (grouping.IsFiller(group, slot)) continue;
        EXPECT_EQ(own_order.BlockOf(grouping.SampleAt(group, slot) / 3), block);
      }
    }
  }
  EXPECT_EQ(blocks.size(), 20U);
  EXPECT_EQ(*blocks.begin(), 0);
  EXPECT_EQ(*blocks.rbegin(), 19);
}

TEST(GroupingTest, SmallSetsHaveFewBlocksAndLargeOnesFifty) {
  EXPECT_EQ(Grouping(2, 2, 0).num_blocks(), 1);
  EXPECT_EQ(Grouping(6, 2, 0).num_blocks(), 3);
  EXPECT_EQ(Grouping(100, 2, 0).num_blocks(), 4);
  EXPECT_EQ(Grouping(10'000, 4, 0).num_blocks(), 50);
  EXPECT_EQ(Grouping(10'000, 2, 0).num_blocks(), 50);
}

TEST(GroupingTest, GroupingsDifferAndAreTheSameEveryTime) {
  const auto members = [](int number) {
    const Grouping grouping(200, 2, number);
    std::vector<int64_t> samples;
    for (int64_t group = 0; group < 100; ++group) {
      samples.push_back(grouping.SampleAt(group, 0));
    }
    return samples;
  };
  EXPECT_EQ(members(3), members(3));
  EXPECT_NE(members(3), members(4));
}

TEST(GroupingTest, IdsAreOfOneGroupAndTellItsHalf) {
  std::set<int64_t> ids;
  for (int number = 0; number < 3; ++number) {
    const Grouping grouping(9, 3, number);  // an odd number of groups
    for (int64_t group = 0; group < 3; ++group) {
      EXPECT_TRUE(ids.insert(grouping.IdOf(group)).second);
      EXPECT_EQ(grouping.IdOf(group) % 2, group % 2);
    }
  }
}

TEST(GroupingTest, LargeSetsNeedFewerGroupings) {
  EXPECT_EQ(NumGroupings(1), 8);
  EXPECT_EQ(NumGroupings(10'000), 8);
  EXPECT_EQ(NumGroupings(25'000), 3);
  EXPECT_EQ(NumGroupings(80'000), 1);
  EXPECT_EQ(NumGroupings(1'000'000), 1);
}

}  // namespace
}  // namespace parm
