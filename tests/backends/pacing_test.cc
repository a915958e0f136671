#include "backends/pacing.h"

#include <algorithm>

#include "gtest/gtest.h"

namespace parm {
namespace {

const KeyedDraws kDraws(/*seed=*/3, "w1");

TEST(PacingTest, WithoutSpreadTakesTheServiceTime) {
  const PaceOptions pace = {.service = Milliseconds(20)};
  EXPECT_EQ(DrawServiceTime(pace, kDraws, Luck{1}, /*batch_size=*/1),
            Milliseconds(20));
}

TEST(PacingTest, FurtherSamplesTakeTheirOwnTime) {
  const PaceOptions pace = {.service = Milliseconds(20),
                            .per_extra_sample = Milliseconds(5)};
  EXPECT_EQ(DrawServiceTime(pace, kDraws, Luck{1}, /*batch_size=*/4),
            Milliseconds(35));
}

TEST(PacingTest, SpreadStaysWithinThreeDeviations) {
  const PaceOptions pace = {.service = Milliseconds(20), .spread = 0.1};
  Duration least = Duration::max();
  Duration most{0};
  for (uint64_t luck = 1; luck <= 5000; ++luck) {
    const Duration drawn = DrawServiceTime(pace, kDraws, Luck{luck}, 1);
    EXPECT_EQ(drawn, DrawServiceTime(pace, kDraws, Luck{luck}, 1));
    least = std::min(least, drawn);
    most = std::max(most, drawn);
  }
  EXPECT_GE(least, Milliseconds(14) - Microseconds(1));
  EXPECT_LE(most, Milliseconds(26) + Microseconds(1));
  // The draws do use the room.
  EXPECT_LT(least, Milliseconds(16));
  EXPECT_GT(most, Milliseconds(24));
}

TEST(PacingTest, HugeBatchStaysWithinAnHour) {
  const PaceOptions pace = {.service = Milliseconds(20),
                            .per_extra_sample = Milliseconds(20)};
  EXPECT_EQ(DrawServiceTime(pace, kDraws, Luck{1}, int64_t{1} << 60),
            std::chrono::hours(1));
}

}  // namespace
}  // namespace parm
