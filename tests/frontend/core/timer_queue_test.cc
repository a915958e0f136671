#include "frontend/core/timer_queue.h"

#include <map>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace parm::core {
namespace {

Time At(int64_t ms) { return Time{} + Milliseconds(ms); }

TEST(TimerQueueTest, FiresInOrderOfTime) {
  TimerQueue timers(4);
  std::vector<TimerHandle> handles(3);
  timers.Arm(&handles[0], At(30), TimerKind::kTaskEnd, 0);
  timers.Arm(&handles[1], At(10), TimerKind::kQueryDeadline, 1);
  timers.Arm(&handles[2], At(20), TimerKind::kPolicy, 2);
  EXPECT_EQ(timers.Earliest(), At(10));
  FiredTimer fired{};
  EXPECT_FALSE(timers.PopDue(At(9), &fired));
  ASSERT_TRUE(timers.PopDue(At(20), &fired));
  EXPECT_EQ(fired.record, 1U);
  EXPECT_EQ(fired.kind, TimerKind::kQueryDeadline);
  ASSERT_TRUE(timers.PopDue(At(20), &fired));
  EXPECT_EQ(fired.record, 2U);
  EXPECT_FALSE(timers.PopDue(At(20), &fired));
  EXPECT_EQ(timers.size(), 1U);
}

TEST(TimerQueueTest, DisarmedTimerNeverFires) {
  TimerQueue timers(1);
  TimerHandle handle{};
  timers.Arm(&handle, At(1), TimerKind::kPolicy, 0);
  timers.Disarm(&handle);
  timers.Disarm(&handle);
  FiredTimer fired{};
  EXPECT_FALSE(timers.PopDue(At(100), &fired));
  EXPECT_EQ(timers.Earliest(), kNever);
}

TEST(TimerQueueTest, AgreesWithMultimapOverRandomChanges) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    constexpr uint32_t kRecords = 50;
    TimerQueue timers(kRecords);
    std::vector<TimerHandle> handles(kRecords);
    std::map<uint32_t, Time> want;
    for (int step = 0; step < 5000; ++step) {
      const auto record = static_cast<uint32_t>(random() % kRecords);
      switch (random() % 4) {
        case 0:
          timers.Disarm(&handles[record]);
          want.erase(record);
          break;
        case 1: {
          FiredTimer fired{};
          if (!timers.PopDue(At(500), &fired)) break;
          const Time at = want.at(fired.record);
          EXPECT_LE(at, At(500));
          for (const auto& [other, time] : want) EXPECT_GE(time, at);
          handles[fired.record] = TimerHandle{};
          want.erase(fired.record);
          break;
        }
        default:
          want[record] = At(static_cast<int64_t>(random() % 1000));
          timers.Arm(&handles[record], want[record], TimerKind::kPolicy,
                     record);
      }
      ASSERT_EQ(timers.size(), want.size());
      Time earliest = kNever;
      for (const auto& [other, time] : want) {
        earliest = std::min(earliest, time);
      }
      ASSERT_EQ(timers.Earliest(), earliest);
    }
  }
}

}  // namespace
}  // namespace parm::core
