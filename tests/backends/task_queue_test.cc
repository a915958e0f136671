#include "backends/task_queue.h"

#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parm {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr Time kStart{};

Task MakeTask(uint64_t peer, uint64_t id, uint8_t priority = 0,
              Time expires = kNever) {
  return {.key = {PeerId{peer}, TaskId{id}},
          .priority = priority,
          .arrived = kStart,
          .expires = expires};
}

uint64_t IdOf(const Task& task) { return Raw(task.key.task); }

// Everything that waits, in the order in which lanes would take it.
std::vector<uint64_t> TakeAll(TaskQueue* queue) {
  std::vector<uint64_t> ids;
  while (queue->size() > 0) ids.push_back(IdOf(*queue->Pop()));
  return ids;
}

TEST(TaskQueueTest, LeavesInOrderOfArrival) {
  TaskQueue queue(10);
  for (uint64_t id = 1; id <= 3; ++id) {
    EXPECT_FALSE(queue.Push(MakeTask(1, id)).has_value());
  }
  EXPECT_THAT(TakeAll(&queue), ElementsAre(1, 2, 3));
}

TEST(TaskQueueTest, OrdinaryGoesBeforeRedundant) {
  TaskQueue queue(10);
  queue.Push(MakeTask(1, 1, /*priority=*/1));
  queue.Push(MakeTask(1, 2, /*priority=*/0));
  queue.Push(MakeTask(2, 3, /*priority=*/1));
  queue.Push(MakeTask(2, 4, /*priority=*/0));
  EXPECT_THAT(TakeAll(&queue), ElementsAre(2, 4, 1, 3));
}

TEST(TaskQueueTest, FrontendsTakeTurnsWithinPriority) {
  TaskQueue queue(10);
  for (uint64_t id = 1; id <= 4; ++id) queue.Push(MakeTask(1, id));
  for (uint64_t id = 11; id <= 12; ++id) queue.Push(MakeTask(2, id));
  queue.Push(MakeTask(3, 21));
  EXPECT_THAT(TakeAll(&queue), ElementsAre(1, 11, 21, 2, 12, 3, 4));
}

TEST(TaskQueueTest, WithdrawTakesOnlyTheKeyed) {
  TaskQueue queue(10);
  queue.Push(MakeTask(1, 1));
  queue.Push(MakeTask(1, 2));
  queue.Push(MakeTask(2, 2));
  EXPECT_TRUE(queue.Withdraw({PeerId{1}, TaskId{2}}).has_value());
  EXPECT_FALSE(queue.Withdraw({PeerId{1}, TaskId{2}}).has_value());
  EXPECT_FALSE(queue.Withdraw({PeerId{3}, TaskId{1}}).has_value());
  EXPECT_THAT(TakeAll(&queue), ElementsAre(1, 2));
}

TEST(TaskQueueTest, WithdrawPeerTakesAllItsTasks) {
  TaskQueue queue(10);
  queue.Push(MakeTask(1, 1));
  queue.Push(MakeTask(2, 2));
  queue.Push(MakeTask(1, 3, /*priority=*/1));
  EXPECT_EQ(queue.WithdrawPeer(PeerId{1}).size(), 2U);
  EXPECT_THAT(queue.WithdrawPeer(PeerId{1}), IsEmpty());
  EXPECT_THAT(TakeAll(&queue), ElementsAre(2));
}

TEST(TaskQueueTest, TakesExpiredAndNamesTheNext) {
  TaskQueue queue(10);
  queue.Push(MakeTask(1, 1, 0, kStart + Milliseconds(10)));
  queue.Push(MakeTask(1, 2, 1, kStart + Milliseconds(30)));
  queue.Push(MakeTask(2, 3, 0, kStart + Milliseconds(20)));
  queue.Push(MakeTask(2, 4));
  const TaskQueue::Expired first = queue.TakeExpired(kStart + Milliseconds(10));
  ASSERT_EQ(first.tasks.size(), 1U);
  EXPECT_EQ(IdOf(first.tasks[0]), 1U);
  EXPECT_EQ(first.next_expiry, kStart + Milliseconds(20));
  const TaskQueue::Expired second =
      queue.TakeExpired(kStart + Milliseconds(30));
  EXPECT_EQ(second.tasks.size(), 2U);
  EXPECT_EQ(second.next_expiry, kNever);
  EXPECT_THAT(TakeAll(&queue), ElementsAre(4));
}

TEST(TaskQueueTest, FullQueueRefusesTheNewcomer) {
  TaskQueue queue(2);
  queue.Push(MakeTask(1, 1));
  queue.Push(MakeTask(1, 2));
  const std::optional<Task> refused = queue.Push(MakeTask(1, 3));
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(IdOf(*refused), 3U);
  EXPECT_THAT(TakeAll(&queue), ElementsAre(1, 2));
}

TEST(TaskQueueTest, BytesThatWaitAreBounded) {
  TaskQueue queue(10, /*max_bytes=*/100);
  const auto task = [](uint64_t id, size_t bytes) {
    Task made = MakeTask(1, id);
    made.inputs.push_back(
        {.bytes = Buffer::FromString(std::string(bytes, 'x'))});
    return made;
  };
  EXPECT_FALSE(queue.Push(task(1, 60)).has_value());
  const std::optional<Task> refused = queue.Push(task(2, 41));
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(IdOf(*refused), 2U);
  EXPECT_FALSE(queue.Push(task(3, 40)).has_value());
  EXPECT_THAT(TakeAll(&queue), ElementsAre(1, 3));
  // The room is there again; and one task always has some.
  EXPECT_FALSE(queue.Push(task(4, 1000)).has_value());
  EXPECT_TRUE(queue.Push(task(5, 1)).has_value());
  EXPECT_THAT(TakeAll(&queue), ElementsAre(4));
}

TEST(TaskQueueTest, YoungestRedundantYieldsToOrdinary) {
  TaskQueue queue(2);
  queue.Push(MakeTask(1, 1, /*priority=*/1));
  queue.Push(MakeTask(1, 2, /*priority=*/1));
  const std::optional<Task> refused = queue.Push(MakeTask(1, 3));
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(IdOf(*refused), 2U);
  EXPECT_THAT(TakeAll(&queue), ElementsAre(3, 1));
}

TEST(TaskQueueTest, RedundantNeverDisplacesOrdinary) {
  TaskQueue queue(2);
  queue.Push(MakeTask(1, 1));
  queue.Push(MakeTask(1, 2));
  const std::optional<Task> refused =
      queue.Push(MakeTask(2, 3, /*priority=*/1));
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(IdOf(*refused), 3U);
}

TEST(TaskQueueTest, GreedyFrontendYieldsPlaceToModestOne) {
  TaskQueue queue(4);
  for (uint64_t id = 1; id <= 4; ++id) queue.Push(MakeTask(1, id));
  EXPECT_EQ(IdOf(*queue.Push(MakeTask(2, 11))), 4U);
  EXPECT_EQ(IdOf(*queue.Push(MakeTask(2, 12))), 3U);
  // Two places each: the newcomer has to wait now.
  EXPECT_EQ(IdOf(*queue.Push(MakeTask(2, 13))), 13U);
  EXPECT_THAT(TakeAll(&queue), ElementsAre(1, 11, 2, 12));
}

TEST(TaskQueueTest, PopWaitsForTheNextTask) {
  TaskQueue queue(1);
  std::optional<Task> taken;
  std::thread lane([&] { taken = queue.Pop(); });
  queue.Push(MakeTask(1, 1));
  lane.join();
  ASSERT_TRUE(taken.has_value());
  EXPECT_EQ(IdOf(*taken), 1U);
}

TEST(TaskQueueTest, CloseEndsWaitsAndRefusesTasks) {
  TaskQueue queue(2);
  std::optional<Task> taken = MakeTask(1, 1);
  std::thread lane([&] { taken = queue.Pop(); });
  queue.Close();
  lane.join();
  EXPECT_FALSE(taken.has_value());
  EXPECT_TRUE(queue.Push(MakeTask(1, 2)).has_value());
  EXPECT_EQ(queue.size(), 0U);
}

}  // namespace
}  // namespace parm
