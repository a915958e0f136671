// Pacing and faults as a frontend sees them.

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/backends/raw_frontend.h"
#include "tests/backends/running_worker.h"

namespace parm {
namespace {

const std::vector<float> kSample = {4, 3, 2, 1};

RunningWorker::Settings WithFault(const FaultWindow& window) {
  RunningWorker::Settings settings;
  settings.loop.fault_seed = 17;
  settings.loop.fault_windows = {window};
  return settings;
}

TEST(WorkerLoopFaultsTest, PacedReplyTakesItsServiceTime) {
  RunningWorker::Settings settings;
  settings.pace = {.service = Milliseconds(30),
                   .per_extra_sample = Milliseconds(20)};
  RunningWorker worker(settings);
  RawFrontend frontend(worker.endpoint());
  frontend.SendInfer(1, worker.deployed(), {1, 2, 3, 4, 5, 6, 7, 8}, 2);
  const auto reply = frontend.ReceiveReply(1);
  ASSERT_TRUE(reply.has_value());
  // From below only: a busy machine may add to it.
  EXPECT_GE(reply->envelope->reply().compute_us(), 50'000);
  EXPECT_EQ(reply->tensors.size(), 1U);
}

TEST(WorkerLoopFaultsTest, SlowModeStretchesThePace) {
  RunningWorker::Settings settings = WithFault({.slow_mode_factor = 5});
  settings.pace = {.service = Milliseconds(10)};
  RunningWorker worker(settings);
  RawFrontend frontend(worker.endpoint());
  frontend.SendInfer(1, worker.deployed(), kSample);
  const auto reply = frontend.ReceiveReply(1);
  ASSERT_TRUE(reply.has_value());
  EXPECT_GE(reply->envelope->reply().compute_us(), 50'000);
  EXPECT_EQ(worker.Stop().faults_injected, 1U);
}

TEST(WorkerLoopFaultsTest, WindowsCountFromTheEpoch) {
  const Duration hour = Milliseconds(3'600'000);
  RunningWorker::Settings settings =
      WithFault({.start = hour, .slow_mode_factor = 2});
  settings.loop.fault_epoch = std::chrono::steady_clock::now() - 2 * hour;
  RunningWorker worker(settings);
  RawFrontend frontend(worker.endpoint());
  frontend.SendInfer(1, worker.deployed(), kSample);
  ASSERT_TRUE(frontend.ReceiveReply(1).has_value());
  EXPECT_EQ(worker.Stop().faults_injected, 1U);
}

TEST(WorkerLoopFaultsTest, DelayedReplyLeavesLaneFree) {
  RunningWorker worker(WithFault(
      {.reply_delay_probability = 1, .reply_delay = Milliseconds(3000)}));
  RawFrontend frontend(worker.endpoint());
  // The delay begins only when both are in.
  worker.gate().Close();
  frontend.SendInfer(1, worker.deployed(), kSample);
  frontend.SendInfer(2, worker.deployed(), kSample);
  ASSERT_TRUE(frontend.WaitForQueueDepth(1));
  worker.gate().Open();
  // The one lane begins the second task before the first reply is out.
  for (const bool is_started : {true, true, false, false}) {
    const auto received = frontend.Receive();
    ASSERT_TRUE(received.has_value());
    EXPECT_EQ(received->envelope->has_started(), is_started);
  }
}

TEST(WorkerLoopFaultsTest, HeartbeatCountsDelayedReplies) {
  RunningWorker worker(WithFault(
      {.reply_delay_probability = 1, .reply_delay = Milliseconds(5000)}));
  RawFrontend frontend(worker.endpoint());
  worker.gate().Close();
  frontend.SendInfer(1, worker.deployed(), kSample);
  frontend.SendInfer(2, worker.deployed(), kSample);
  ASSERT_TRUE(frontend.WaitForQueueDepth(1));
  worker.gate().Open();
  // On one lane the second starts when the first has been computed.
  ASSERT_TRUE(frontend.ReceiveStarted(1));
  ASSERT_TRUE(frontend.ReceiveStarted(2));
  wire::Envelope request;
  request.mutable_heartbeat_request();
  frontend.Send(std::move(request));
  const auto heartbeat = frontend.ReceiveHeartbeat();
  ASSERT_TRUE(heartbeat.has_value());
  EXPECT_EQ(heartbeat->queue_depth(), 0U);
  EXPECT_EQ(heartbeat->in_flight(), 2U);
}

TEST(WorkerLoopFaultsTest, DrainWaitsForDelayedReply) {
  RunningWorker worker(WithFault(
      {.reply_delay_probability = 1, .reply_delay = Milliseconds(50)}));
  RawFrontend frontend(worker.endpoint());
  frontend.SendInfer(1, worker.deployed(), kSample);
  ASSERT_TRUE(frontend.ReceiveStarted(1));
  EXPECT_EQ(worker.Stop().replies_ok, 1U);
  EXPECT_TRUE(frontend.ReceiveReply(1).has_value());
}

TEST(WorkerLoopFaultsTest, DroppedReplyNeverComes) {
  RunningWorker worker(WithFault({.drop_probability = 1}));
  RawFrontend frontend(worker.endpoint());
  frontend.SendInfer(1, worker.deployed(), kSample);
  ASSERT_TRUE(frontend.ReceiveStarted(1));
  frontend.SendInfer(2, worker.deployed(), kSample);
  ASSERT_TRUE(frontend.ReceiveStarted(2));
  const WorkerCounters counters = worker.Stop();
  EXPECT_EQ(counters.faults_injected, 2U);
  EXPECT_EQ(counters.replies_ok, 0U);
}

TEST(WorkerLoopFaultsTest, DuplicateReplyComesTwice) {
  RunningWorker worker(WithFault({.duplicate_probability = 1}));
  RawFrontend frontend(worker.endpoint());
  frontend.SendInfer(1, worker.deployed(), kSample);
  const auto first = frontend.ReceiveReply(1);
  const auto second = frontend.ReceiveReply(1);
  ASSERT_TRUE(first.has_value());
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(first->tensors, second->tensors);
}

TEST(WorkerLoopFaultsTest, InjectedErrorIsRetryable) {
  RunningWorker worker(WithFault({.error_probability = 1}));
  RawFrontend frontend(worker.endpoint());
  frontend.SendInfer(1, worker.deployed(), kSample);
  const auto reply = frontend.ReceiveReply(1);
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->envelope->reply().status(), wire::ERROR);
  EXPECT_TRUE(reply->envelope->reply().retryable());
  EXPECT_EQ(worker.Stop().model_errors, 0U);
}

TEST(WorkerLoopFaultsTest, LuckAndNotTaskIdDecides) {
  RunningWorker worker(WithFault({.error_probability = 0.5}));
  RawFrontend frontend(worker.endpoint());
  const auto status_of = [&](uint64_t id, uint64_t luck) {
    frontend.SendInfer(id, worker.deployed(), kSample, /*batch=*/1,
                       /*priority=*/0, /*remaining_budget_us=*/0, luck);
    const auto reply = frontend.ReceiveReply(id);
    return reply.has_value() ? reply->envelope->reply().status()
                             : wire::REPLY_STATUS_UNSPECIFIED;
  };
  int num_errors = 0;
  constexpr int kNumTasks = 20;
  for (uint64_t i = 1; i <= kNumTasks; ++i) {
    const wire::ReplyStatus status = status_of(1000 + i, /*luck=*/i);
    EXPECT_EQ(status_of(2000 + i, /*luck=*/i), status);
    EXPECT_EQ(status_of(i, /*luck=*/0), status) << "without one, by task id";
    num_errors += status == wire::ERROR ? 1 : 0;
  }
  EXPECT_GT(num_errors, 0);
  EXPECT_LT(num_errors, kNumTasks);
}

TEST(WorkerLoopFaultsTest, CorruptRepliesComeInEveryKind) {
  RunningWorker worker(WithFault({.corrupt_probability = 1}));
  RawFrontend frontend(worker.endpoint());
  const std::vector<float> want = LinearOutput(RunningWorker::kModel, kSample);
  bool garbage = false;
  bool wrong_shape = false;
  bool wrong_bytes = false;
  constexpr uint64_t kNumTasks = 60;
  for (uint64_t id = 1; id <= kNumTasks; ++id) {
    frontend.SendInfer(id, worker.deployed(), kSample);
    ASSERT_TRUE(frontend.ReceiveStarted(id));
    const auto reply = frontend.Receive();
    ASSERT_TRUE(reply.has_value());
    if (!reply->envelope.has_value()) {
      garbage = true;
    } else if (reply->envelope->reply().tensors(0).shape_size() == 1) {
      wrong_shape = true;
    } else {
      EXPECT_NE(reply->tensors.at(0), BytesOf(want));
      wrong_bytes = true;
    }
  }
  EXPECT_TRUE(garbage);
  EXPECT_TRUE(wrong_shape);
  EXPECT_TRUE(wrong_bytes);
}

}  // namespace
}  // namespace parm
