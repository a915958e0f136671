#include "frontend/serve/event_queue.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parm {
namespace {

using ::testing::ElementsAre;

class EventQueueTest : public ::testing::Test {
 protected:
  /// An event that notes its number.
  EventQueue::Event Note(int number) {
    return [this, number] { noted_.push_back(number); };
  }

  boost::asio::io_context loop_{1};
  std::vector<int> noted_;
};

TEST_F(EventQueueTest, RunsEventsInOrderOnTheLoop) {
  EventQueue queue(loop_, 10, 10);
  EXPECT_TRUE(queue.TryPush(0, Note(1)));
  EXPECT_TRUE(queue.Push(Note(2)));
  EXPECT_TRUE(queue.TryPush(0, Note(3)));
  EXPECT_THAT(noted_, ElementsAre());
  loop_.run();
  EXPECT_THAT(noted_, ElementsAre(1, 2, 3));
}

TEST_F(EventQueueTest, RefusesEventsBeyondItsBounds) {
  EventQueue queue(loop_, 2, 10);
  EXPECT_FALSE(queue.TryPush(11, Note(0)));
  EXPECT_TRUE(queue.TryPush(6, Note(1)));
  EXPECT_FALSE(queue.TryPush(5, Note(0)));
  EXPECT_TRUE(queue.TryPush(4, Note(2)));
  EXPECT_FALSE(queue.TryPush(0, Note(0)));
  // What follows from events that were taken is always taken.
  EXPECT_TRUE(queue.Push(Note(3)));
  loop_.run();
  EXPECT_THAT(noted_, ElementsAre(1, 2, 3));
  EXPECT_TRUE(queue.TryPush(10, Note(4)));
  loop_.restart();
  loop_.run();
  EXPECT_THAT(noted_, ElementsAre(1, 2, 3, 4));
}

TEST_F(EventQueueTest, TakesWhatEventsPush) {
  EventQueue queue(loop_, 10, 10);
  queue.Push([&] {
    noted_.push_back(1);
    queue.Push(Note(3));
    noted_.push_back(2);
  });
  loop_.run();
  EXPECT_THAT(noted_, ElementsAre(1, 2, 3));
}

TEST_F(EventQueueTest, RunsTheRestWhenItCloses) {
  EventQueue queue(loop_, 1000, 10);
  for (int i = 0; i < 200; ++i) queue.Push(Note(i));
  queue.Close();
  EXPECT_EQ(noted_.size(), 200U);
  EXPECT_FALSE(queue.TryPush(0, Note(0)));
  EXPECT_FALSE(queue.Push(Note(0)));
  loop_.run();
  EXPECT_EQ(noted_.size(), 200U);
}

TEST_F(EventQueueTest, LeavesNothingBehindOnTheLoop) {
  auto queue = std::make_unique<EventQueue>(loop_, 10, 10);
  queue->Push(Note(1));
  queue.reset();
  loop_.run();
  EXPECT_THAT(noted_, ElementsAre());
}

TEST_F(EventQueueTest, KeepsTheOrderOfEachThread) {
  constexpr int kThreads = 4;
  constexpr int kEvents = 2000;
  EventQueue queue(loop_, 10, 10);
  std::vector<std::vector<int>> seen(kThreads);
  int total = 0;
  auto work = std::make_optional(boost::asio::make_work_guard(loop_));
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEvents; ++i) {
        const auto event = [&, t, i] {
          seen[static_cast<size_t>(t)].push_back(i);
          if (++total == kThreads * kEvents) work.reset();
        };
        while (!queue.TryPush(1, event)) std::this_thread::yield();
      }
    });
  }
  loop_.run();
  for (std::thread& thread : threads) thread.join();
  for (const std::vector<int>& of_thread : seen) {
    ASSERT_EQ(of_thread.size(), size_t{kEvents});
    for (int i = 0; i < kEvents; ++i) {
      EXPECT_EQ(of_thread[static_cast<size_t>(i)], i);
    }
  }
}

}  // namespace
}  // namespace parm
