#include "frontend/wake_timer.h"

#include <optional>

#include "gtest/gtest.h"

namespace parm {
namespace {

using Clock = std::chrono::steady_clock;

class WakeTimerTest : public ::testing::Test {
 protected:
  // Runs the loop until nothing is left to wait for.
  void Run() { loop_.run_for(std::chrono::seconds(20)); }

  boost::asio::io_context loop_;
  int num_woken_ = 0;
  Time woken_at_{};
  WakeTimer timer_{loop_, [this] {
                     ++num_woken_;
                     woken_at_ = Clock::now();
                   }};
};

TEST_F(WakeTimerTest, WakesOnceAndNeverEarly) {
  const Time want = Clock::now() + Milliseconds(20);
  timer_.WakeAt(want);
  Run();
  EXPECT_EQ(num_woken_, 1);
  EXPECT_GE(woken_at_, want);
}

TEST_F(WakeTimerTest, FollowsTheLastWishLaterOrEarlier) {
  const Time now = Clock::now();
  timer_.WakeAt(now + Milliseconds(10));
  timer_.WakeAt(now + Milliseconds(60'000));
  timer_.WakeAt(now + Milliseconds(40));
  Run();
  EXPECT_EQ(num_woken_, 1);
  EXPECT_GE(woken_at_, now + Milliseconds(40));
  EXPECT_LT(woken_at_, now + Milliseconds(20'000));
}

TEST_F(WakeTimerTest, SleepsOnWhenNothingIsWanted) {
  timer_.WakeAt(Clock::now() + Milliseconds(5));
  timer_.WakeAt(kNever);
  Run();
  EXPECT_EQ(num_woken_, 0);
}

TEST_F(WakeTimerTest, MayBeDestroyedWhileItWaits) {
  std::optional<WakeTimer> timer;
  timer.emplace(loop_, [this] { ++num_woken_; });
  timer->WakeAt(Clock::now() + Milliseconds(5));
  timer.reset();
  Run();
  EXPECT_EQ(num_woken_, 0);
}

}  // namespace
}  // namespace parm
