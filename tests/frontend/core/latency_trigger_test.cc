#include "frontend/core/latency_trigger.h"

#include <deque>

#include "gtest/gtest.h"

namespace parm::core {
namespace {

// Feeds a trigger with copies that take what they are told to take.
class Feed {
 public:
  explicit Feed(double quantile)
      : trigger({.decode = quantile, .hedge = 0.5}) {}

  void Reply(Duration took) {
    LatencyTrigger::Copy copy;
    trigger.Dispatched(copy, now);
    trigger.Replied(copy, now + took);
    now += Microseconds(10);
  }
  void Cancel(Duration age) {
    LatencyTrigger::Copy copy;
    trigger.Dispatched(copy, now);
    trigger.Ended(copy, now + age);
  }
  double DelayMs() {
    const auto& delays = trigger.DelaysAt(now);
    return delays ? ToSeconds(delays->decode) * 1e3 : -1;
  }

  LatencyTrigger trigger;
  Time now = Time{} + Milliseconds(1000);
};

TEST(LatencyTriggerTest, GivesNoDelayBelowMinimumSamples) {
  Feed feed(0.9);
  for (uint32_t i = 1; i < LatencyTrigger::kMinSamples; ++i) {
    feed.Reply(Milliseconds(10));
    EXPECT_EQ(feed.DelayMs(), -1);
  }
  feed.Reply(Milliseconds(10));
  EXPECT_NEAR(feed.DelayMs(), 10, 1);
}

TEST(LatencyTriggerTest, DelayIsTheQuantileOfCopies) {
  Feed feed(0.9);
  for (int i = 1; i <= 1000; ++i) feed.Reply(Milliseconds(10 + i % 10));
  // 10 .. 19 ms in equal shares; buckets are 1/16 wide.
  EXPECT_NEAR(feed.DelayMs(), 18.5, 1.5);
}

TEST(LatencyTriggerTest, EachUseHasItsOwnQuantile) {
  Feed feed(0.9);
  for (int i = 1; i <= 1000; ++i) feed.Reply(Milliseconds(10 + i % 10));
  const auto& delays = feed.trigger.DelaysAt(feed.now);
  ASSERT_TRUE(delays);
  EXPECT_NEAR(ToSeconds(delays->hedge), 0.0145, 0.001);
  EXPECT_EQ(delays->median, delays->hedge);
  EXPECT_GT(delays->decode, delays->hedge);
}

TEST(LatencyTriggerTest, SlowModeCannotBecomeTheQuantile) {
  Feed feed(0.9);
  // 20 % of the copies take ten times as long: the 0.9 quantile is 200 ms.
  for (int i = 0; i < 2000; ++i)
    feed.Reply(Milliseconds(i % 5 == 0 ? 200 : 20));
  EXPECT_NEAR(feed.DelayMs(), 20, 2) << "the quantile of the others";
}

TEST(LatencyTriggerTest, DelayIsAtMostThreeMedians) {
  Feed feed(0.9);
  // The 0.9 quantile is 82 ms, and there is no gap before it.
  for (int i = 0; i < 1800; ++i) {
    feed.Reply(Milliseconds(i % 2 == 0 ? 10 : 10 + i % 90));
  }
  EXPECT_GT(feed.DelayMs(), 15);
  EXPECT_LE(feed.DelayMs(), 32);
}

TEST(LatencyTriggerTest, CopiesStillOutCountByTheirAge) {
  Feed feed(0.9);
  for (int i = 0; i < 64; ++i) feed.Reply(Milliseconds(10));
  EXPECT_NEAR(feed.DelayMs(), 10, 1);
  // As many again never come back.
  std::deque<LatencyTrigger::Copy> out(32);
  for (LatencyTrigger::Copy& copy : out) {
    feed.trigger.Dispatched(copy, feed.now);
  }
  feed.now += Milliseconds(25);
  for (int i = 0; i < 32; ++i) feed.Reply(Milliseconds(10));
  EXPECT_NEAR(feed.DelayMs(), 25, 3);
}

TEST(LatencyTriggerTest, EarlyCancelSaysNothing) {
  Feed feed(0.5);
  for (int i = 0; i < 64; ++i) feed.Reply(Milliseconds(10));
  EXPECT_NEAR(feed.DelayMs(), 10, 1);
  for (int i = 0; i < 500; ++i) feed.Cancel(Milliseconds(1));
  for (int i = 0; i < 32; ++i) feed.Reply(Milliseconds(10));
  EXPECT_NEAR(feed.DelayMs(), 10, 1);
}

TEST(LatencyTriggerTest, LateCancelCountsByItsAge) {
  Feed feed(0.9);
  for (int i = 0; i < 64; ++i) feed.Reply(Milliseconds(10));
  EXPECT_NEAR(feed.DelayMs(), 10, 1);
  for (int i = 0; i < 32; ++i) feed.Cancel(Milliseconds(20));
  EXPECT_NEAR(feed.DelayMs(), 20, 2);
}

TEST(LatencyTriggerTest, ForgetsAModeThatHasGone) {
  Feed feed(0.9);
  for (int i = 0; i < 4096; ++i) feed.Reply(Milliseconds(100));
  for (int i = 0; i < 4096; ++i) feed.Reply(Milliseconds(10));
  EXPECT_NEAR(feed.DelayMs(), 10, 1);
}

TEST(LatencyTriggerTest, OutlandishTimesStayInRange) {
  Feed feed(0.9);
  for (int i = 0; i < 32; ++i) feed.Reply(Duration(1));
  EXPECT_GT(feed.DelayMs(), 0);
  for (int i = 0; i < 4096; ++i) feed.Reply(Milliseconds(10'000'000));
  EXPECT_LT(feed.DelayMs(), 70'000);
}

}  // namespace
}  // namespace parm::core
