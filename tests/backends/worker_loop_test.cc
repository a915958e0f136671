// The task protocol over real sockets: who says what, in which order, and that
// every task gets exactly one terminal reply.

#include "backends/worker_loop.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/backends/raw_frontend.h"
#include "tests/backends/running_worker.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<float> Sample(float first) { return {first, 1, 2, 3}; }

void ExpectStatus(std::optional<Received> reply, wire::ReplyStatus status) {
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->envelope->reply().status(), status)
      << reply->envelope->reply().error();
}

TEST(WorkerLoopTest, SaysHelloWithBundlesAndLanes) {
  RunningWorker::Settings settings;
  settings.loop.lanes = 3;
  RunningWorker worker(settings);
  RawFrontend frontend(worker.endpoint());
  const auto hello = frontend.Hello();
  ASSERT_TRUE(hello.has_value());
  EXPECT_EQ(hello->worker_id(), "w1");
  EXPECT_EQ(hello->fault_domain(), "rack1");
  EXPECT_NE(hello->instance_nonce(), 0U);
  EXPECT_EQ(hello->lanes(), 3U);
  ASSERT_EQ(hello->bundles_size(), 2);
  EXPECT_EQ(hello->bundles(0).role(), wire::DEPLOYED);
  EXPECT_EQ(hello->bundles(1).role(), wire::PARITY);
  EXPECT_EQ(hello->bundles(1).lineage().deployed_sha256(),
            hello->bundles(0).sha256());
}

TEST(WorkerLoopTest, AnswersTaskWithStartedThenReply) {
  RunningWorker worker;
  RawFrontend frontend(worker.endpoint());
  frontend.SendInfer(1, worker.deployed(), Sample(7));
  const auto started = frontend.Receive();
  ASSERT_TRUE(started.has_value());
  ASSERT_TRUE(started->envelope->has_started());
  EXPECT_EQ(started->envelope->started().task_id(), 1U);
  const auto received = frontend.Receive();
  ASSERT_TRUE(received.has_value());
  const wire::Reply& reply = received->envelope->reply();
  EXPECT_EQ(reply.task_id(), 1U);
  EXPECT_EQ(reply.instance_nonce(),
            started->envelope->started().instance_nonce());
  EXPECT_EQ(reply.exit_stage(), 0U);
  EXPECT_EQ(reply.status(), wire::OK);
  EXPECT_TRUE(reply.started());
  EXPECT_GE(reply.queue_us(), 0);
  EXPECT_GE(reply.compute_us(), 0);
  ASSERT_EQ(reply.tensors_size(), 1);
  EXPECT_EQ(reply.tensors(0).name(), "logits");
  EXPECT_THAT(reply.tensors(0).shape(), ElementsAre(1, 3));
  ASSERT_EQ(received->tensors.size(), 1U);
  EXPECT_EQ(FloatsOf(received->tensors[0]),
            LinearOutput(RunningWorker::kModel, Sample(7)));
}

TEST(WorkerLoopTest, AnswersBatchWithOneRowEach) {
  RunningWorker worker;
  RawFrontend frontend(worker.endpoint());
  frontend.SendInfer(1, worker.deployed(), {1, 2, 3, 4, 5, 6, 7, 8}, 2);
  const auto reply = frontend.ReceiveReply(1);
  ASSERT_TRUE(reply.has_value());
  std::vector<float> want = LinearOutput(RunningWorker::kModel, {1, 2, 3, 4});
  for (const float value : LinearOutput(RunningWorker::kModel, {5, 6, 7, 8})) {
    want.push_back(value);
  }
  ASSERT_EQ(reply->tensors.size(), 1U);
  EXPECT_EQ(FloatsOf(reply->tensors[0]), want);
}

TEST(WorkerLoopTest, CancelWithdrawsOnlyWhatWaits) {
  RunningWorker worker;
  RawFrontend frontend(worker.endpoint());
  worker.gate().Close();
  frontend.SendInfer(1, worker.deployed(), Sample(1));
  ASSERT_TRUE(frontend.ReceiveStarted(1));
  frontend.SendInfer(2, worker.deployed(), Sample(2));
  frontend.SendCancel(1);
  frontend.SendCancel(2);
  frontend.SendCancel(77);  // nobody knows it
  const auto cancelled = frontend.ReceiveReply(2);
  ExpectStatus(cancelled, wire::CANCELLED);
  EXPECT_FALSE(cancelled->envelope->reply().started());
  worker.gate().Open();
  ExpectStatus(frontend.ReceiveReply(1), wire::OK);
  const WorkerCounters counters = worker.Stop();
  EXPECT_EQ(counters.replies_cancelled, 1U);
  EXPECT_EQ(counters.replies_ok, 1U);
}

TEST(WorkerLoopTest, ExpiresTaskWhileLaneIsBusy) {
  RunningWorker worker;
  RawFrontend frontend(worker.endpoint());
  worker.gate().Close();
  frontend.SendInfer(1, worker.deployed(), Sample(1));
  ASSERT_TRUE(frontend.ReceiveStarted(1));
  frontend.SendInfer(2, worker.deployed(), Sample(2), /*batch=*/1,
                     /*priority=*/0, /*remaining_budget_us=*/1);
  const auto expired = frontend.ReceiveReply(2);
  ExpectStatus(expired, wire::EXPIRED);
  EXPECT_FALSE(expired->envelope->reply().started());
  worker.gate().Open();
  ExpectStatus(frontend.ReceiveReply(1), wire::OK);
  EXPECT_EQ(worker.Stop().replies_expired, 1U);
}

TEST(WorkerLoopTest, OrdinaryTaskOvertakesRedundantOne) {
  RunningWorker worker;
  RawFrontend frontend(worker.endpoint());
  worker.gate().Close();
  frontend.SendInfer(1, worker.deployed(), Sample(1));
  ASSERT_TRUE(frontend.ReceiveStarted(1));
  frontend.SendInfer(2, worker.parity(), Sample(2), 1, /*priority=*/1);
  frontend.SendInfer(3, worker.deployed(), Sample(3), 1, /*priority=*/0);
  ASSERT_TRUE(frontend.WaitForQueueDepth(2));
  worker.gate().Open();
  ExpectStatus(frontend.ReceiveReply(2), wire::OK);
  EXPECT_THAT(worker.gate().passed(), ElementsAre(1, 3, 2));
}

TEST(WorkerLoopTest, FrontendsTakeTurnsAtTheLane) {
  RunningWorker worker;
  RawFrontend greedy(worker.endpoint());
  RawFrontend modest(worker.endpoint());
  worker.gate().Close();
  greedy.SendInfer(1, worker.deployed(), Sample(0));
  ASSERT_TRUE(greedy.ReceiveStarted(1));
  for (uint64_t i = 1; i <= 4; ++i) {
    greedy.SendInfer(1 + i, worker.deployed(), Sample(static_cast<float>(i)));
  }
  ASSERT_TRUE(greedy.WaitForQueueDepth(4));
  // The same ids on purpose: they belong to another frontend.
  modest.SendInfer(2, worker.deployed(), Sample(11));
  modest.SendInfer(3, worker.deployed(), Sample(12));
  ASSERT_TRUE(modest.WaitForQueueDepth(6));
  worker.gate().Open();
  ExpectStatus(greedy.ReceiveReply(5), wire::OK);
  ExpectStatus(modest.ReceiveReply(3), wire::OK);
  EXPECT_THAT(worker.gate().passed(), ElementsAre(0, 1, 11, 2, 12, 3, 4));
}

TEST(WorkerLoopTest, RefusesTaskBeyondQueueBound) {
  RunningWorker::Settings settings;
  settings.loop.max_queue = 1;
  RunningWorker worker(settings);
  RawFrontend frontend(worker.endpoint());
  worker.gate().Close();
  frontend.SendInfer(1, worker.deployed(), Sample(1));
  ASSERT_TRUE(frontend.ReceiveStarted(1));
  frontend.SendInfer(2, worker.deployed(), Sample(2));
  frontend.SendInfer(3, worker.deployed(), Sample(3));
  const auto refused = frontend.ReceiveReply(3);
  ExpectStatus(refused, wire::ERROR);
  EXPECT_TRUE(refused->envelope->reply().retryable());
  EXPECT_THAT(refused->envelope->reply().error(), HasSubstr("queue is full"));
  worker.gate().Open();
  ExpectStatus(frontend.ReceiveReply(1), wire::OK);
  ExpectStatus(frontend.ReceiveReply(2), wire::OK);
  EXPECT_EQ(worker.Stop().tasks_refused, 1U);
}

TEST(WorkerLoopTest, AnswersDoubledTaskOnce) {
  RunningWorker worker;
  RawFrontend frontend(worker.endpoint());
  worker.gate().Close();
  frontend.SendInfer(1, worker.deployed(), Sample(1));
  ASSERT_TRUE(frontend.ReceiveStarted(1));
  frontend.SendInfer(1, worker.deployed(), Sample(1));
  frontend.SendInfer(2, worker.deployed(), Sample(2));
  ASSERT_TRUE(frontend.WaitForQueueDepth(1));
  worker.gate().Open();
  ExpectStatus(frontend.ReceiveReply(1), wire::OK);
  ExpectStatus(frontend.ReceiveReply(2), wire::OK);
  const WorkerCounters counters = worker.Stop();
  EXPECT_EQ(counters.tasks_duplicate, 1U);
  EXPECT_EQ(counters.replies_ok, 2U);
}

TEST(WorkerLoopTest, SendsHeartbeatsToWhoSaidHello) {
  RunningWorker::Settings settings;
  settings.loop.heartbeat_interval = Milliseconds(5);
  RunningWorker worker(settings);
  RawFrontend frontend(worker.endpoint());
  const auto hello = frontend.Hello();
  ASSERT_TRUE(hello.has_value());
  for (int i = 0; i < 3; ++i) {
    const auto heartbeat = frontend.ReceiveHeartbeat();
    ASSERT_TRUE(heartbeat.has_value());
    EXPECT_EQ(heartbeat->instance_nonce(), hello->instance_nonce());
  }
}

TEST(WorkerLoopTest, HeartbeatCountsWaitingAndRunning) {
  RunningWorker worker;
  RawFrontend frontend(worker.endpoint());
  worker.gate().Close();
  frontend.SendInfer(1, worker.deployed(), Sample(1));
  ASSERT_TRUE(frontend.ReceiveStarted(1));
  frontend.SendInfer(2, worker.deployed(), Sample(2));
  frontend.SendInfer(3, worker.deployed(), Sample(3));
  wire::Envelope request;
  request.mutable_heartbeat_request();
  frontend.Send(std::move(request));
  const auto heartbeat = frontend.ReceiveHeartbeat();
  ASSERT_TRUE(heartbeat.has_value());
  EXPECT_EQ(heartbeat->queue_depth(), 2U);
  EXPECT_EQ(heartbeat->in_flight(), 1U);
}

TEST(WorkerLoopTest, DrainAnnouncesRefusesAndFinishes) {
  RunningWorker worker;
  RawFrontend frontend(worker.endpoint());
  ASSERT_TRUE(frontend.Hello().has_value());
  worker.gate().Close();
  frontend.SendInfer(1, worker.deployed(), Sample(1));
  ASSERT_TRUE(frontend.ReceiveStarted(1));
  frontend.SendInfer(2, worker.deployed(), Sample(2));
  ASSERT_TRUE(frontend.WaitForQueueDepth(1));
  worker.RequestDrain();
  const auto drain = frontend.Receive();
  ASSERT_TRUE(drain.has_value());
  EXPECT_TRUE(drain->envelope->has_drain());
  frontend.SendInfer(3, worker.deployed(), Sample(3));
  const auto refused = frontend.ReceiveReply(3);
  ExpectStatus(refused, wire::ERROR);
  EXPECT_TRUE(refused->envelope->reply().retryable());
  // Whoever says hello now is told as well.
  ASSERT_TRUE(frontend.Hello().has_value());
  const auto again = frontend.Receive();
  ASSERT_TRUE(again.has_value());
  EXPECT_TRUE(again->envelope->has_drain());
  worker.gate().Open();
  worker.Stop();
  ExpectStatus(frontend.ReceiveReply(1), wire::OK);
  ExpectStatus(frontend.ReceiveReply(2), wire::OK);
}

TEST(WorkerLoopTest, DropsWaitingTasksOfVanishedFrontend) {
  RunningWorker worker;
  auto vanishing = std::make_unique<RawFrontend>(worker.endpoint());
  worker.gate().Close();
  ASSERT_TRUE(vanishing->Hello().has_value());
  vanishing->SendInfer(1, worker.deployed(), Sample(1));
  ASSERT_TRUE(vanishing->ReceiveStarted(1));
  vanishing->SendInfer(2, worker.deployed(), Sample(2));
  vanishing->SendInfer(3, worker.deployed(), Sample(3));
  ASSERT_TRUE(vanishing->WaitForQueueDepth(2));
  vanishing.reset();
  RawFrontend other(worker.endpoint());
  EXPECT_TRUE(other.WaitForQueueDepth(0));
  worker.gate().Open();
  const WorkerCounters counters = worker.Stop();
  EXPECT_EQ(counters.tasks_orphaned, 2U);
  EXPECT_EQ(counters.replies_undelivered, 1U);
}

TEST(WorkerLoopTest, NewFrontendUnderOldIdStartsAfresh) {
  RunningWorker worker;
  RawFrontend frontend(worker.endpoint(), "same-id");
  ASSERT_TRUE(frontend.Hello("first start").has_value());
  worker.gate().Close();
  frontend.SendInfer(1, worker.deployed(), Sample(1));
  ASSERT_TRUE(frontend.ReceiveStarted(1));
  frontend.SendInfer(2, worker.deployed(), Sample(2));
  ASSERT_TRUE(frontend.WaitForQueueDepth(1));
  ASSERT_TRUE(frontend.Hello("second start").has_value());
  frontend.SendInfer(2, worker.deployed(), Sample(22));
  ASSERT_TRUE(frontend.WaitForQueueDepth(1));
  worker.gate().Open();
  const auto reply = frontend.ReceiveReply(2);
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(FloatsOf(reply->tensors.at(0)),
            LinearOutput(RunningWorker::kModel, Sample(22)));
  EXPECT_EQ(worker.Stop().tasks_orphaned, 1U);
}

TEST(WorkerLoopTest, IdleFrontendGivesWayToNewcomer) {
  RunningWorker::Settings settings;
  settings.loop.max_peers = 1;
  RunningWorker worker(settings);
  RawFrontend idle(worker.endpoint());
  ASSERT_TRUE(idle.Hello().has_value());
  RawFrontend newcomer(worker.endpoint());
  EXPECT_TRUE(newcomer.Hello().has_value());
  EXPECT_EQ(worker.Stop().peers_refused, 0U);
}

TEST(WorkerLoopTest, BusyFrontendsKeepNewcomerOut) {
  RunningWorker::Settings settings;
  settings.loop.max_peers = 1;
  RunningWorker worker(settings);
  RawFrontend busy(worker.endpoint());
  worker.gate().Close();
  busy.SendInfer(1, worker.deployed(), Sample(1));
  ASSERT_TRUE(busy.ReceiveStarted(1));
  RawFrontend newcomer(worker.endpoint());
  newcomer.SendInfer(1, worker.deployed(), Sample(2));
  const auto refused = newcomer.ReceiveReply(1);
  ExpectStatus(refused, wire::ERROR);
  EXPECT_TRUE(refused->envelope->reply().retryable());
  EXPECT_THAT(refused->envelope->reply().error(),
              HasSubstr("too many frontends"));
  worker.gate().Open();
  ExpectStatus(busy.ReceiveReply(1), wire::OK);
  EXPECT_EQ(worker.Stop().peers_refused, 1U);
}

TEST(WorkerLoopTest, AddressInUseIsUnavailable) {
  RunningWorker worker;
  EXPECT_THAT(WorkerLoop::Create({.id = "w2", .bind = worker.endpoint()}, {}),
              StatusIs(absl::StatusCode::kUnavailable,
                       HasSubstr("Address already in use")));
}

TEST(WorkerLoopTest, AddressWithoutPortIsInvalid) {
  EXPECT_THAT(WorkerLoop::Create({.id = "w", .bind = "tcp://nonsense"}, {}),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(WorkerLoopTest, BundleListedTwiceIsInvalid) {
  RunningWorker worker;
  std::vector<std::unique_ptr<const ServedBundle>> bundles;
  for (int i = 0; i < 2; ++i) {
    auto served = ServedBundle::Create(worker.deployed(), LoadLinearModel, {});
    ASSERT_THAT(served, IsOk());
    bundles.push_back(*std::move(served));
  }
  EXPECT_THAT(
      WorkerLoop::Create({.id = "w", .bind = "tcp://127.0.0.1:0"},
                         std::move(bundles)),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("listed twice")));
}

}  // namespace
}  // namespace parm
