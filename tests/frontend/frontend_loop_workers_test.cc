// The frontend's loop before workers that fail, die, fall silent, talk garbage
// or come back with another model.

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/frontend/frontend_loop_fixture.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using FrontendLoopWorkersTest = FrontendLoopFixture;

TEST_F(FrontendLoopWorkersTest, TriesElsewhereAfterAReplyOfTheWrongShape) {
  Start({"d", "d"}, kNone);
  Ask("a", RequestOf({1, 2}));
  const auto [first, task] = NextTask();
  workers_[first]->Send(peers_[first], ReplyTo(task, {1, 3}),
                        {BytesOf({1, 2, 3})});
  const auto [second, again] = NextTask();
  Answer(second, again, {3, 4});
  EXPECT_THAT(ValuesOf("a"), ElementsAre(3, 4));
  EXPECT_EQ(Metric("parm_replies_rejected_total{reason=\"not_the_models\"}"),
            1);
}

TEST_F(FrontendLoopWorkersTest, TriesElsewhereAfterGarbage) {
  Start({"d", "d"}, kNone);
  Ask("a", RequestOf({1, 2}));
  const auto [first, task] = NextTask();
  workers_[first]->Send(peers_[first], ReplyTo(task), {"short"});
  const auto [second, again] = NextTask();
  Answer(second, again, {3, 4});
  EXPECT_THAT(ValuesOf("a"), ElementsAre(3, 4));
  EXPECT_EQ(Metric("parm_frames_rejected_total{reason=\"malformed\"}"), 1);
}

TEST_F(FrontendLoopWorkersTest, AnswersOnceWhenAWorkerRepliesTwice) {
  Start({"d"}, kNone);
  Ask("a", RequestOf({1, 2}));
  const auto [worker, task] = NextTask();
  Answer(worker, task, {3, 4});
  Answer(worker, task, {5, 6});
  EXPECT_THAT(ValuesOf("a"), ElementsAre(3, 4));
  ASSERT_TRUE(RunUntil([&] {
    return Metric("parm_replies_rejected_total{reason=\"unknown_task\"}") == 1;
  }));
}

TEST_F(FrontendLoopWorkersTest, IgnoresRepliesToTasksThatWereNeverSent) {
  Start({"d"}, kNone);
  FakeWorker::Message made_up;
  made_up.envelope.mutable_infer()->set_task_id(4711);
  Answer(0, made_up, {3, 4});
  wire::Envelope early = ReplyTo(made_up);
  early.mutable_reply()->set_exit_stage(1);
  workers_[0]->Send(peers_[0], early, {BytesOf({1, 2})});
  ASSERT_TRUE(RunUntil([&] {
    return Metric("parm_replies_rejected_total{reason=\"exit_stage\"}") == 1;
  }));
  EXPECT_EQ(Metric("parm_replies_rejected_total{reason=\"unknown_task\"}"), 1);
  EXPECT_EQ(Metric("parm_table_entries{table=\"buffers\"}"), 0);
}

TEST_F(FrontendLoopWorkersTest, PassesOnWhatTheWorkerSaid) {
  Start({"d"}, kNone);
  Ask("a", RequestOf({1, 2}));
  const auto [worker, task] = NextTask();
  wire::Envelope reply = ReplyTo(task);
  reply.mutable_reply()->clear_tensors();
  reply.mutable_reply()->set_status(wire::ERROR);
  reply.mutable_reply()->set_error("the cat sat on it");
  workers_[worker]->Send(peers_[worker], reply);
  EXPECT_THAT(ReplyOf("a").status,
              StatusIs(absl::StatusCode::kInternal,
                       HasSubstr("parm-frontend: the worker failed: the cat")));
}

TEST_F(FrontendLoopWorkersTest, DispatchesAgainWhenAWorkerDies) {
  Start({"d", "d"}, kNone);
  Ask("a", RequestOf({1, 2}));
  const auto [first, task] = NextTask();
  workers_[first].reset();
  const size_t other = 1 - first;
  FakeWorker::Message again = Next(other);
  while (!again.envelope.has_infer()) again = Next(other);
  Answer(other, again, {3, 4});
  EXPECT_THAT(ValuesOf("a"), ElementsAre(3, 4));
  EXPECT_EQ(Metric("parm_tasks_redispatched_total"), 1);
  EXPECT_EQ(Metric("parm_worker_events_total{event=\"lost\"}"), 1);
}

TEST_F(FrontendLoopWorkersTest, MovesToTheVersionOfWorkersThatTakeTasks) {
  Start({"d", "d", "e"}, kNone);
  wire::Envelope drain;
  drain.mutable_drain()->set_instance_nonce(5);
  for (const size_t old : {0U, 1U}) {
    workers_[old]->Send(peers_[old], drain);
    ASSERT_TRUE(RunUntil([&] { return !IsUp(old); }));
  }
  Ask("a", RequestOf({1, 2}));
  const auto [worker, task] = NextTask();
  EXPECT_EQ(worker, 2U);
  EXPECT_EQ(task.envelope.infer().bundle_sha256(), std::string(32, 'e'));
  Answer(worker, task, {3, 4});
  EXPECT_THAT(ValuesOf("a"), ElementsAre(3, 4));
}

TEST_F(FrontendLoopWorkersTest, LeavesTheVersionOfASilentWorker) {
  Start({"d", "e"}, kNone, "health: {heartbeat_timeout: 5s}\n");
  ASSERT_TRUE(RunUntil([&] { return !IsUp(0) && !IsUp(1); }));
  wire::Envelope heartbeat;
  heartbeat.mutable_heartbeat()->set_instance_nonce(5);
  workers_[1]->Send(peers_[1], heartbeat);
  ASSERT_TRUE(RunUntil([&] { return IsUp(1); }));
  EXPECT_TRUE(frontend_->Ready());
  Ask("a", RequestOf({1, 2}));
  const auto [worker, task] = NextTask();
  EXPECT_EQ(worker, 1U);
  Answer(worker, task, {3, 4});
  EXPECT_THAT(ValuesOf("a"), ElementsAre(3, 4));
}

TEST_F(FrontendLoopWorkersTest, HearsFromAWorkerByWhateverItSays) {
  Start({"d"}, kNone, "health: {heartbeat_timeout: 2s}\n");
  for (const bool drain : {false, true}) {
    ASSERT_TRUE(RunUntil([&] { return !IsUp(0); }));
    wire::Envelope envelope;
    if (drain) {
      envelope.mutable_drain()->set_instance_nonce(5);
    } else {
      envelope.mutable_started()->set_instance_nonce(5);
      envelope.mutable_started()->set_task_id(1);
    }
    ASSERT_TRUE(RunUntil([&] {
      workers_[0]->Send(peers_[0], envelope);
      return Metric(absl::StrCat("parm_worker_state{worker=\"",
                                 workers_[0]->endpoint(), "\",state=\"",
                                 drain ? "draining" : "up", "\"}")) == 1;
    }));
  }
}

}  // namespace
}  // namespace parm
