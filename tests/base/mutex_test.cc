#include "base/mutex.h"

#include <chrono>
#include <thread>
#include <type_traits>
#include <vector>

#include "gtest/gtest.h"

namespace parm {
namespace {

static_assert(!std::is_copy_constructible_v<Mutex> &&
              !std::is_copy_assignable_v<Mutex>);
static_assert(!std::is_copy_constructible_v<MutexLock>);

// What the annotations are for: clang refuses a method here that touches
// `value_` or waits without the lock.
class Counter {
 public:
  void Add(int amount) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    value_ += amount;
    changed_.SignalAll();
  }

  int WaitUntilAtLeast(int value) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    while (value_ < value) changed_.Wait(&mu_);
    return value_;
  }

  // False if the value stayed below until `deadline`.
  bool WaitUntil(int value, std::chrono::steady_clock::time_point deadline)
      ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(&mu_);
    while (value_ < value) {
      if (!changed_.WaitUntil(&mu_, deadline)) return value_ >= value;
    }
    return true;
  }

 private:
  Mutex mu_;
  CondVar changed_;
  int value_ ABSL_GUARDED_BY(mu_) = 0;
};

TEST(MutexTest, ThreadsNeverLoseAnAddition) {
  constexpr int kNumThreads = 4;
  constexpr int kNumAdditions = 5000;
  Counter counter;
  std::vector<std::thread> threads;
  for (int i = 0; i < kNumThreads; ++i) {
    threads.emplace_back([&counter] {
      for (int j = 0; j < kNumAdditions; ++j) counter.Add(1);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counter.WaitUntilAtLeast(0), kNumThreads * kNumAdditions);
}

TEST(MutexTest, WaiterWakesWhenTheValueArrives) {
  Counter counter;
  std::thread adder([&counter] {
    for (int i = 0; i < 100; ++i) counter.Add(1);
  });
  EXPECT_GE(counter.WaitUntilAtLeast(100), 100);
  adder.join();
}

TEST(MutexTest, WaitEndsAtADeadlineThatHasPassed) {
  Counter counter;
  EXPECT_FALSE(counter.WaitUntil(1, std::chrono::steady_clock::now()));
  counter.Add(1);
  EXPECT_TRUE(counter.WaitUntil(1, std::chrono::steady_clock::now()));
}

TEST(MutexTest, LockIsHeldAgainAfterEveryWait) {
  constexpr int kNumRounds = 500;
  Mutex mu;
  CondVar turned;
  bool is_left = true;
  int num_turns = 0;
  const auto play = [&](bool left) {
    for (int i = 0; i < kNumRounds; ++i) {
      MutexLock lock(&mu);
      while (is_left != left) turned.Wait(&mu);
      ++num_turns;  // ThreadSanitizer sees a race if the lock is not held.
      is_left = !left;
      turned.Signal();
    }
  };
  std::thread left([&] { play(true); });
  play(false);
  left.join();
  MutexLock lock(&mu);
  EXPECT_EQ(num_turns, 2 * kNumRounds);
}

}  // namespace
}  // namespace parm
