#include "parity_trainer/grouping.h"

#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace parm {
namespace {

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
  EXPECT_EQ(grouping.SampleAt(2, 2), 0);
  EXPECT_TRUE(grouping.IsFiller(2, 2));
  EXPECT_FALSE(grouping.IsFiller(2, 1));
}

TEST(GroupingTest, HalvesNeverShareASample) {
  for (int number = 0; number < 4; ++number) {
    const Grouping grouping(1000, 3, number);
    int64_t moved = 0;
    for (int64_t group = 0; group < grouping.num_groups(); ++group) {
      for (int64_t slot = 0; slot < 3; ++slot) {
        if (grouping.IsFiller(group, slot)) continue;
        const int64_t sample = grouping.SampleAt(group, slot);
        EXPECT_EQ(sample / 3 % 2, group % 2) << sample;
        if (sample / 3 != group) ++moved;
      }
    }
    EXPECT_EQ(moved > 900, number > 0) << moved;
  }
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
