#include "frontend/worker_board.h"

#include <string>

#include "gtest/gtest.h"

namespace parm {
namespace {

constexpr WorkerId kFirst{0};
constexpr WorkerId kSecond{1};
constexpr Time kStart = Time{} + Milliseconds(1000);

wire::Hello HelloOf(uint64_t nonce, uint64_t max_message_bytes = 0) {
  wire::Hello hello;
  hello.set_worker_id("w");
  hello.set_instance_nonce(nonce);
  hello.set_max_message_bytes(max_message_bytes);
  return hello;
}

class WorkerBoardTest : public testing::Test {
 protected:
  WorkerBoard board_{{"tcp://127.0.0.1:1", "tcp://127.0.0.1:2"},
                     Milliseconds(100)};
};

TEST_F(WorkerBoardTest, WorkerIsUpWhileItIsHeard) {
  EXPECT_EQ(board_.StateOf(kFirst, kStart), WorkerState::kDown);
  board_.OnHello(kFirst, HelloOf(1), kStart);
  EXPECT_EQ(board_.StateOf(kFirst, kStart), WorkerState::kUp);
  EXPECT_EQ(board_.StateOf(kSecond, kStart), WorkerState::kDown);
  const Time later = kStart + Milliseconds(101);
  EXPECT_EQ(board_.StateOf(kFirst, later), WorkerState::kSilent);
  board_.OnHeard(kFirst, later);
  EXPECT_EQ(board_.StateOf(kFirst, later), WorkerState::kUp);
  board_.OnHeartbeat(kFirst, 3, 2, later + Milliseconds(50));
  EXPECT_EQ(board_.StateOf(kFirst, later + Milliseconds(150)),
            WorkerState::kUp);
  EXPECT_EQ(board_.Get(kFirst).queue_depth, 3U);
  EXPECT_EQ(board_.Get(kFirst).in_flight, 2U);
}

TEST_F(WorkerBoardTest, NextWorkerOfAPlaceIsAnother) {
  board_.OnHello(kFirst, HelloOf(1), kStart);
  board_.OnDraining(kFirst, kStart);
  board_.Vacate(kFirst);
  EXPECT_EQ(board_.StateOf(kFirst, kStart), WorkerState::kDown);
  EXPECT_EQ(board_.Get(kFirst).endpoint, "");
  board_.Place(kFirst, "http://127.0.0.1:3");
  EXPECT_EQ(board_.Get(kFirst).endpoint, "http://127.0.0.1:3");
  EXPECT_FALSE(board_.OnHello(kFirst, HelloOf(2), kStart)) << "no restart";
  EXPECT_EQ(board_.StateOf(kFirst, kStart), WorkerState::kUp);
}

TEST_F(WorkerBoardTest, LostWorkerHoldsNothing) {
  board_.OnHello(kFirst, HelloOf(1), kStart);
  board_.OnHeartbeat(kFirst, 3, 2, kStart);
  board_.OnLost(kFirst);
  EXPECT_EQ(board_.StateOf(kFirst, kStart), WorkerState::kDown);
  EXPECT_EQ(board_.Get(kFirst).queue_depth, 0U);
  EXPECT_EQ(board_.Get(kFirst).in_flight, 0U);
}

TEST_F(WorkerBoardTest, OnlyARestartEndsDraining) {
  EXPECT_FALSE(board_.OnHello(kFirst, HelloOf(1), kStart));
  board_.OnDraining(kFirst, kStart);
  EXPECT_FALSE(board_.OnHello(kFirst, HelloOf(1), kStart));
  EXPECT_EQ(board_.StateOf(kFirst, kStart), WorkerState::kDraining);
  EXPECT_TRUE(board_.OnHello(kFirst, HelloOf(2), kStart));
  EXPECT_EQ(board_.StateOf(kFirst, kStart), WorkerState::kUp);
}

TEST_F(WorkerBoardTest, WhoStaysDrainsNoMore) {
  board_.OnHello(kFirst, HelloOf(1), kStart);
  board_.OnDraining(kFirst, kStart);
  board_.OnStays(kFirst);
  EXPECT_FALSE(board_.OnHello(kFirst, HelloOf(1), kStart)) << "no restart";
  EXPECT_EQ(board_.StateOf(kFirst, kStart), WorkerState::kUp);
}

TEST_F(WorkerBoardTest, LogsEachReasonOnceAndAFewAtMost) {
  const auto logged = [this](const std::string& why) {
    const int before = board_.Get(kFirst).refusals_logged;
    board_.OnHelloRefused(kFirst, why);
    return board_.Get(kFirst).refusals_logged > before;
  };
  EXPECT_TRUE(logged("it hung up"));
  EXPECT_FALSE(logged("it hung up"));
  EXPECT_TRUE(logged("it does not know our key"));
  EXPECT_TRUE(logged("it hung up"));
  EXPECT_FALSE(logged("it does not know our key"));
  board_.OnHello(kFirst, HelloOf(1), kStart);
  EXPECT_TRUE(logged("it hung up"));
}

TEST_F(WorkerBoardTest, RemembersTheSmallestMessageLimit) {
  EXPECT_EQ(board_.smallest_message_limit(), UINT64_MAX);
  board_.OnHello(kFirst, HelloOf(1), kStart);  // says none
  EXPECT_EQ(board_.smallest_message_limit(), UINT64_MAX);
  board_.OnHello(kFirst, HelloOf(1, 100), kStart);
  board_.OnHello(kSecond, HelloOf(1, 200), kStart);
  EXPECT_EQ(board_.smallest_message_limit(), 100U);
}

}  // namespace
}  // namespace parm
