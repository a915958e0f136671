#include "frontend/core/run_times.h"

#include "gtest/gtest.h"

namespace parm::core {
namespace {

// So many runs, every n-th of which is slow.
RunTimes Fed(int count, int every, Duration slow) {
  RunTimes runs(0.95);
  for (int i = 1; i <= count; ++i) {
    runs.Replied(every > 0 && i % every == 0 ? slow : Milliseconds(20));
  }
  return runs;
}

TEST(RunTimesTest, TooFewRunsTellNothing) {
  EXPECT_FALSE(Fed(31, 0, {}).estimate());
  EXPECT_TRUE(Fed(32, 0, {}).estimate());
}

TEST(RunTimesTest, StragglersDoNotMoveWhatIsLate) {
  for (const int every : {0, 100, 12, 5, 3}) {
    SCOPED_TRACE(every);
    const RunTimes runs = Fed(6000, every, Milliseconds(200));
    ASSERT_TRUE(runs.estimate());
    EXPECT_NEAR(ToSeconds(runs.estimate()->late), 0.020, 0.0015);
    EXPECT_NEAR(runs.estimate()->straggler_share, every > 0 ? 1.0 / every : 0,
                0.001);
  }
}

TEST(RunTimesTest, WhatIsALittleSlowIsNoStraggler) {
  const RunTimes runs = Fed(6000, 5, Milliseconds(35));
  EXPECT_EQ(runs.estimate()->straggler_share, 0);
  EXPECT_NEAR(ToSeconds(runs.estimate()->late), 0.035, 0.0025);
}

TEST(RunTimesTest, LostRunsCountIfTheyWereLong) {
  RunTimes runs = Fed(64, 0, {});
  for (int i = 0; i < 16; ++i) runs.Ended(Milliseconds(5));
  for (int i = 0; i < 32; ++i) runs.Ended(Milliseconds(300));
  EXPECT_NEAR(runs.estimate()->straggler_share, 1.0 / 3, 0.001);
}

TEST(RunTimesTest, LostRunsBeforeAnyEstimateTellNothing) {
  RunTimes runs(0.95);
  for (int i = 0; i < 64; ++i) runs.Ended(Milliseconds(300));
  EXPECT_FALSE(runs.estimate());
}

TEST(RunTimesTest, StragglersThatHaveGoneAreForgotten) {
  RunTimes runs = Fed(4096, 10, Milliseconds(200));
  EXPECT_GT(runs.estimate()->straggler_share, 0.09);
  for (int i = 0; i < 8192; ++i) runs.Replied(Milliseconds(20));
  EXPECT_EQ(runs.estimate()->straggler_share, 0);
}

}  // namespace
}  // namespace parm::core
