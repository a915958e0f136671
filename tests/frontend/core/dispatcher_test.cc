// Where tasks go, what happens to those that are lost, and when a slot is free.

#include "frontend/core/dispatcher.h"

#include <algorithm>
#include <cstddef>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/frontend/core/core_harness.h"

namespace parm::core {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

// The members of one group at workers 0 and 1, parity at worker 2 or, if that
// is full, 3.
struct CodedPool {
  explicit CodedPool(CoreOptions options = CodedOptions(4, {.scheme = "sum",
                                                            .k = 2}))
      : core(options) {
    core.Up(0, {.domain = 0});
    core.Up(1, {.domain = 1});
    core.Up(2, {.deployed = false, .parity = true, .domain = 2});
    core.Up(3, {.deployed = false, .parity = true, .domain = 3});
    core.heard = {0, 1, 2, 3};
  }
  CoreHarness core;
};

TEST(DispatcherTest, BatchWithoutSlotWaitsInLine) {
  CoreHarness core(PlainOptions(1));
  core.Up(0, {});
  core.Arrive();
  const QueryId second = core.Arrive();
  const QueryId third = core.Arrive();
  ASSERT_THAT(core.out.sent, SizeIs(1));
  core.Reply(core.out.sent[0]);
  ASSERT_THAT(core.out.sent, SizeIs(2));
  EXPECT_EQ(core.out.sent[1].inputs[0], core.InputOf(second));
  core.Reply(core.out.sent[1]);
  EXPECT_EQ(core.out.sent.at(2).inputs[0], core.InputOf(third));
}

TEST(DispatcherTest, QueryThatLeavesTheLineIsNotSent) {
  CoreHarness core(PlainOptions(1));
  core.Up(0, {});
  core.Arrive();
  const QueryId gone = core.Arrive();
  core.Handle(QueryAbandoned{.query = gone});
  core.Reply(core.out.sent[0]);
  EXPECT_THAT(core.out.sent, SizeIs(1));
  core.ExpectEmpty();
}

TEST(DispatcherTest, TasksOfALostWorkerGoElsewhereOnce) {
  CoreHarness core(PlainOptions(3));
  for (uint32_t i = 0; i < 3; ++i) core.Up(i, {});
  core.Arrive();
  const WorkerId first = core.out.sent.at(0).task.worker;
  core.Handle(WorkerDown{.worker = first});
  ASSERT_THAT(core.out.sent, SizeIs(2));
  EXPECT_EQ(core.out.sent[1].task.attempt, AttemptType::kRetry);
  EXPECT_NE(core.out.sent[1].task.worker, first);
  EXPECT_EQ(core.counters().tasks_redispatched, 1U);
  EXPECT_EQ(core.counters().workers_lost, 1U);
  // Lost again: nothing else can answer, so it ends now, not at the deadline.
  core.Handle(WorkerDown{.worker = core.out.sent[1].task.worker});
  EXPECT_THAT(core.out.sent, SizeIs(2));
  ASSERT_THAT(core.out.answers, SizeIs(1));
  EXPECT_EQ(core.out.answers[0].error, AnswerError::kBackend);
  core.ExpectEmpty();
}

TEST(DispatcherTest, RetryIsAnsweredAsExact) {
  CoreHarness core(PlainOptions(2));
  core.Up(0, {});
  core.Up(1, {});
  core.Arrive();
  core.Handle(WorkerDown{.worker = core.out.sent.at(0).task.worker});
  core.Reply(core.out.sent.at(1));
  EXPECT_EQ(core.out.answers.at(0).source, AnswerSource::kExact);
  core.ExpectEmpty();
}

TEST(DispatcherTest, RestartLosesTasksAndKeepsTheRole) {
  CoreHarness core(PlainOptions(1));
  core.Up(0, {.nonce = 1});
  core.Arrive();
  const Sent lost = core.out.sent.at(0);
  core.Up(0, {.nonce = 2});
  EXPECT_EQ(core.counters().workers_restarted, 1U);
  ASSERT_THAT(core.out.sent, SizeIs(2)) << "to the new process";
  const BufferId stale = core.Reply(lost);
  EXPECT_TRUE(core.Released(stale));
  EXPECT_EQ(core.counters().unknown_replies, 1U);
  EXPECT_THAT(core.out.answers, IsEmpty());
  core.Reply(core.out.sent[1]);
  core.ExpectEmpty();
}

TEST(DispatcherTest, RepeatedHelloOfOneProcessLosesNothing) {
  CoreHarness core(PlainOptions(1));
  core.Up(0, {.nonce = 1});
  core.Arrive();
  core.Up(0, {.nonce = 1});
  EXPECT_THAT(core.out.sent, SizeIs(1));
  core.Reply(core.out.sent[0]);
  EXPECT_THAT(core.out.answers, SizeIs(1));
}

TEST(DispatcherTest, SilentWorkerIsLeftOutAndProbed) {
  CoreHarness core(PlainOptions(2));
  core.Up(0, {.max_in_flight = 4});
  core.Up(1, {.max_in_flight = 4});
  core.Arrive();
  const WorkerId silent = core.out.sent.at(0).task.worker;
  const WorkerId other{1 - Raw(silent)};
  core.heard = {Raw(other)};
  core.Advance(Milliseconds(499));
  EXPECT_THAT(core.out.probes, IsEmpty());
  core.Advance(Milliseconds(1));
  EXPECT_EQ(core.counters().workers_silent, 1U);
  ASSERT_THAT(core.out.probes, SizeIs(1));
  EXPECT_EQ(core.out.probes[0].worker, silent);
  core.Advance(Milliseconds(250));
  EXPECT_THAT(core.out.probes, SizeIs(2));
  core.Arrive();
  EXPECT_EQ(core.out.sent.back().task.worker, other);
  core.Handle(WorkerHeard{.worker = silent});
  core.Arrive();
  EXPECT_EQ(core.out.sent.back().task.worker, silent);
}

TEST(DispatcherTest, SilentWorkersAnswerStillCounts) {
  CoreHarness core(PlainOptions(2));
  core.Up(0, {});
  core.Up(1, {});
  core.Arrive({.deadline = Milliseconds(2000)});
  const Sent original = core.out.sent.at(0);
  core.heard = {1 - Raw(original.task.worker)};
  core.Advance(Milliseconds(500));
  ASSERT_THAT(core.out.sent, SizeIs(2)) << "sent elsewhere too";
  core.Reply(original);
  ASSERT_THAT(core.out.answers, SizeIs(1));
  EXPECT_THAT(core.out.cancelled, SizeIs(1)) << "the retry is not needed";
  const BufferId late = core.Reply(core.out.sent[1]);
  EXPECT_TRUE(core.Released(late));
  core.ExpectEmpty();
}

TEST(DispatcherTest, RetryableErrorSendsAnotherCopyAtOnce) {
  CoreHarness core(PlainOptions(2));
  core.Up(0, {});
  core.Up(1, {});
  core.Arrive();
  core.Fail(core.out.sent.at(0), TaskStatus::kError, /*retryable=*/true);
  ASSERT_THAT(core.out.sent, SizeIs(2));
  EXPECT_NE(core.out.sent[1].task.worker, core.out.sent[0].task.worker);
  core.Fail(core.out.sent[1], TaskStatus::kError, /*retryable=*/true);
  ASSERT_THAT(core.out.answers, SizeIs(1));
  EXPECT_EQ(core.out.answers[0].error, AnswerError::kBackend);
  EXPECT_EQ(core.out.answers[0].task, core.out.sent[1].task.task);
  core.ExpectEmpty();
}

TEST(DispatcherTest, RetryableErrorOfTheOnlyWorkerEnds) {
  CoreHarness core(PlainOptions(1));
  core.Up(0, {});
  core.Arrive();
  core.Fail(core.out.sent.at(0), TaskStatus::kError, /*retryable=*/true);
  EXPECT_THAT(core.out.sent, SizeIs(1));
  EXPECT_EQ(core.out.answers.at(0).error, AnswerError::kBackend);
}

TEST(DispatcherTest, PermanentErrorAnswersAtOnce) {
  CoreHarness core(PlainOptions(2));
  core.Up(0, {});
  core.Up(1, {});
  core.Arrive();
  core.Fail(core.out.sent.at(0), TaskStatus::kError);
  EXPECT_THAT(core.out.sent, SizeIs(1));
  ASSERT_THAT(core.out.answers, SizeIs(1));
  EXPECT_EQ(core.out.answers[0].error, AnswerError::kBackend);
  EXPECT_EQ(core.out.answers[0].task, core.out.sent[0].task.task);
  core.ExpectEmpty();
}

TEST(DispatcherTest, RefusedSendGoesElsewhere) {
  CoreHarness core(PlainOptions(2));
  core.Up(0, {});
  core.Up(1, {});
  core.Arrive();
  const DispatchTask& task = core.out.sent.at(0).task;
  core.Handle(TaskNotSent{.task = task.task, .worker = task.worker});
  ASSERT_THAT(core.out.sent, SizeIs(2));
  EXPECT_NE(core.out.sent[1].task.worker, core.out.sent[0].task.worker);
  // The refusing worker is the last choice for a while.
  core.Reply(core.out.sent[1]);
  core.Arrive();
  EXPECT_EQ(core.out.sent.at(2).task.worker, core.out.sent[1].task.worker);
}

void Refuse(CoreHarness& core, const Sent& sent, bool unsendable = false) {
  core.Handle(TaskNotSent{.task = sent.task.task,
                          .worker = sent.task.worker,
                          .unsendable = unsendable});
}

TEST(DispatcherTest, RefusedSendToTheOnlyWorkerWaits) {
  CoreHarness core(PlainOptions(1));
  core.Up(0, {});
  core.Arrive();
  for (size_t i = 0; i < 3; ++i) {
    Refuse(core, Sent{core.out.sent.at(i)});
    EXPECT_THAT(core.out.answers, IsEmpty());
    ASSERT_THAT(core.out.sent, SizeIs(i + 1)) << "not before it is heard";
    core.Handle(WorkerHeard{.worker = WorkerId{0}});
    ASSERT_THAT(core.out.sent, SizeIs(i + 2));
  }
  core.Handle(WorkerDown{.worker = WorkerId{0}});
  core.Up(0, {.nonce = 2});
  ASSERT_THAT(core.out.sent, SizeIs(5)) << "its retry was not spent";
  core.Reply(core.out.sent.back());
  EXPECT_EQ(core.out.answers.at(0).source, AnswerSource::kExact);
  core.ExpectEmpty();
}

TEST(DispatcherTest, UnreachableWorkerIsTriedAgainAfterAWhile) {
  CoreHarness core(PlainOptions(1));
  core.Up(0, {});
  core.Arrive();
  Refuse(core, Sent{core.out.sent.at(0)});
  core.Arrive();
  EXPECT_THAT(core.out.sent, SizeIs(1)) << "nor does it get others";
  core.Advance(Milliseconds(249));
  EXPECT_THAT(core.out.sent, SizeIs(1));
  core.Advance(Milliseconds(1));
  EXPECT_THAT(core.out.sent, SizeIs(2));
}

TEST(DispatcherTest, RefusedSendToADeadWorkerEndsAsNoWorker) {
  CoreHarness core(PlainOptions(1));
  core.Up(0, {});
  core.Arrive();
  Refuse(core, Sent{core.out.sent.at(0)});
  core.Handle(WorkerDown{.worker = WorkerId{0}});
  core.Advance(Milliseconds(500));
  ASSERT_THAT(core.out.answers, SizeIs(1));
  EXPECT_EQ(core.out.answers[0].error, AnswerError::kNoWorker)
      << "as for a query that came a moment later";
}

TEST(DispatcherTest, UnsendableTaskIsNotTheWorkersFault) {
  CoreHarness core(PlainOptions(2));
  core.Up(0, {});
  core.Up(1, {});
  core.Arrive();
  const Sent unsendable = core.out.sent.at(0);
  Refuse(core, unsendable, /*unsendable=*/true);
  EXPECT_THAT(core.out.sent, SizeIs(1)) << "nobody could be sent it";
  EXPECT_EQ(core.out.answers.at(0).error, AnswerError::kBackend);
  core.Arrive();
  core.Arrive();
  EXPECT_THAT(core.out.sent, SizeIs(3)) << "both workers are trusted";
}

TEST(DispatcherTest, FailingWorkerDrainsNoLine) {
  CoreHarness core(PlainOptions(2));
  core.Up(0, {});
  core.Up(1, {});
  core.heard = {0, 1};
  for (int i = 0; i < 6; ++i) core.Arrive({.deadline = Milliseconds(5000)});
  ASSERT_THAT(core.out.sent, SizeIs(2)) << "four wait";
  const Sent failing = core.out.sent[0];
  core.Fail(failing, TaskStatus::kError);
  EXPECT_THAT(core.out.sent, SizeIs(2)) << "the line waits for the other";
  core.Reply(core.out.sent[1]);
  ASSERT_THAT(core.out.sent, SizeIs(3));
  EXPECT_NE(core.out.sent[2].task.worker, failing.task.worker);
  core.Advance(Milliseconds(249));
  EXPECT_THAT(core.out.sent, SizeIs(3));
  core.Advance(Milliseconds(1));
  ASSERT_THAT(core.out.sent, SizeIs(4)) << "the penalty is over";
  EXPECT_EQ(core.out.sent[3].task.worker, failing.task.worker);
}

TEST(DispatcherTest, LastLiveWorkerServesDespiteItsPenalty) {
  CoreHarness core(PlainOptions(2));
  core.Up(0, {});
  core.Up(1, {});
  for (int i = 0; i < 3; ++i) core.Arrive({.deadline = Milliseconds(5000)});
  const Sent failing = core.out.sent.at(0);
  core.Fail(failing, TaskStatus::kError);
  ASSERT_THAT(core.out.sent, SizeIs(2));
  core.Handle(WorkerDraining{.worker = core.out.sent[1].task.worker});
  ASSERT_THAT(core.out.sent, SizeIs(3));
  EXPECT_EQ(core.out.sent[2].task.worker, failing.task.worker);
}

TEST(DispatcherTest, DrainingWorkerFinishesAndTakesNoMore) {
  CoreHarness core(PlainOptions(2));
  core.Up(0, {});
  core.Up(1, {});
  core.Arrive();
  const WorkerId draining = core.out.sent.at(0).task.worker;
  core.Handle(WorkerDraining{.worker = draining});
  EXPECT_THAT(core.out.sent, SizeIs(1)) << "what it has, it finishes";
  core.Reply(core.out.sent[0]);
  core.Arrive();
  core.Arrive();
  EXPECT_THAT(core.out.sent, SizeIs(2));
  EXPECT_NE(core.out.sent[1].task.worker, draining);
}

TEST(DispatcherTest, LostReplyGivesItsSlotUp) {
  CoreHarness core(PlainOptions(1));
  core.Up(0, {});
  core.heard = {0};
  core.Arrive();
  core.Advance(Milliseconds(500));
  EXPECT_THAT(core.out.answers, SizeIs(1));
  core.Arrive({.deadline = Milliseconds(2000)});
  EXPECT_THAT(core.out.sent, SizeIs(1)) << "the worker may still be at it";
  core.Advance(Milliseconds(500));
  EXPECT_THAT(core.out.sent, SizeIs(2));
}

TEST(DispatcherTest, IdleWorkerHasForgottenItsTask) {
  CoreHarness core(PlainOptions(2));
  core.Up(0, {});
  core.Up(1, {});
  core.Arrive();
  const Sent lost = core.out.sent.at(0);
  const auto idle = [&lost] {
    return WorkerHeard{.worker = lost.task.worker, .has_depths = true};
  };
  core.Handle(idle());
  EXPECT_THAT(core.out.sent, SizeIs(1)) << "it may not have arrived yet";
  core.Advance(Milliseconds(250));
  core.Handle(WorkerHeard{
      .worker = lost.task.worker, .has_depths = true, .in_flight = 1});
  EXPECT_THAT(core.out.sent, SizeIs(1));
  core.Handle(idle());
  ASSERT_THAT(core.out.sent, SizeIs(2));
  EXPECT_EQ(core.out.sent[1].task.attempt, AttemptType::kRetry);
  core.Handle(idle());
  EXPECT_THAT(core.out.sent, SizeIs(2));
  core.Reply(lost);
  EXPECT_THAT(core.out.answers, SizeIs(1)) << "an answer counts all the same";
}

TEST(DispatcherTest, CancelledTaskTakesItsSlotUntilItsReply) {
  CoreHarness core(PlainOptions(1));
  core.Up(0, {});
  const QueryId gone = core.Arrive();
  core.Handle(QueryAbandoned{.query = gone});
  ASSERT_THAT(core.out.cancelled, SizeIs(1));
  core.Arrive();
  EXPECT_THAT(core.out.sent, SizeIs(1));
  core.Fail(core.out.sent[0], TaskStatus::kCancelled);
  EXPECT_THAT(core.out.sent, SizeIs(2));
  core.Reply(core.out.sent[1]);
  EXPECT_THAT(core.out.answers, SizeIs(1));
  core.ExpectEmpty();
}

TEST(DispatcherTest, MembersAndParityGoToDistinctWorkers) {
  CoreHarness core(CodedOptions(3, {.scheme = "sum", .k = 2}));
  for (uint32_t i = 0; i < 3; ++i) {
    core.Up(i, {.parity = true, .max_in_flight = 8});
  }
  for (int i = 0; i < 6; ++i) core.Arrive();
  const std::vector<Encode> encodes = core.out.encodes;
  ASSERT_THAT(encodes, SizeIs(3));
  for (size_t g = 0; g < 3; ++g) {
    core.Encoded(encodes[g]);
    const WorkerId a = core.out.sent.at(2 * g).task.worker;
    const WorkerId b = core.out.sent.at(2 * g + 1).task.worker;
    const WorkerId p = core.out.sent.at(6 + g).task.worker;
    EXPECT_NE(a, b);
    EXPECT_NE(a, p);
    EXPECT_NE(b, p);
  }
}

// Two workers whose four slots are full, and four more queries in line.
CoreHarness Backlog() {
  CoreHarness core(CodedOptions(3, {.scheme = "sum", .k = 2}));
  core.Up(0, {.max_in_flight = 2});
  core.Up(1, {.max_in_flight = 2});
  core.Up(2, {.deployed = false, .parity = true, .max_in_flight = 100});
  core.heard = {0, 1, 2};
  for (int i = 0; i < 4; ++i) core.Arrive();
  for (int i = 0; i < 4; ++i) core.Arrive({.deadline = Milliseconds(5000)});
  EXPECT_THAT(core.out.sent, SizeIs(4));
  core.out.encodes.clear();
  return core;
}

// The first of the tasks at this worker, counted from `first`.
const Sent& TaskAt(const CoreHarness& core, uint32_t worker, size_t first) {
  const auto at_worker = [worker](const Sent& sent) {
    return sent.task.worker == WorkerId{worker};
  };
  return *std::find_if(
      core.out.sent.begin() + static_cast<std::ptrdiff_t>(first),
      core.out.sent.end(), at_worker);
}

TEST(DispatcherTest, BacklogIsSpreadAndGroupsStayApart) {
  CoreHarness core = Backlog();
  // All slots are given up at the same time.
  core.Advance(Milliseconds(1000));
  ASSERT_THAT(core.out.sent, SizeIs(8));
  for (size_t i = 4; i < 8; ++i) {
    EXPECT_EQ(core.out.sent[i].inputs[0], core.InputOf(QueryId{i + 1}))
        << "oldest first";
  }
  EXPECT_NE(core.out.sent[4].task.worker, core.out.sent[5].task.worker);
  EXPECT_NE(core.out.sent[6].task.worker, core.out.sent[7].task.worker);
}

TEST(DispatcherTest, MembersSentToOneWorkerJoinDistinctGroups) {
  CoreHarness core = Backlog();
  const Sent first = TaskAt(core, 0, 0);
  core.Reply(first);
  for (size_t i = 1; i < 4; ++i) {
    const Sent& sent = core.out.sent[i];
    if (sent.task.worker == WorkerId{0} && sent.task.task != first.task.task) {
      core.Reply(Sent{sent});
    }
  }
  ASSERT_THAT(core.out.sent, SizeIs(6));
  ASSERT_EQ(core.out.sent[4].task.worker, WorkerId{0});
  ASSERT_EQ(core.out.sent[5].task.worker, WorkerId{0}) << "it never waits";
  EXPECT_THAT(core.out.encodes, IsEmpty());
  EXPECT_EQ(core.sizes().open_groups, 2U);
  core.Reply(Sent{TaskAt(core, 1, 0)});
  ASSERT_THAT(core.out.encodes, SizeIs(1)) << "the oldest group is full";
  EXPECT_EQ(core.out.encodes[0].members.at(0).at(0), core.InputOf(QueryId{5}));
  EXPECT_EQ(core.out.encodes[0].members.at(1).at(0), core.InputOf(QueryId{7}));
  core.Advance(Milliseconds(20));
  EXPECT_THAT(core.out.encodes, SizeIs(2)) << "the younger one is padded";
  EXPECT_EQ(core.sizes().open_groups, 0U);
}

TEST(DispatcherTest, OnlyWorkerHoldsWholeGroups) {
  CoreHarness core(CodedOptions(2, {.scheme = "sum", .k = 2}));
  core.Up(0, {.max_in_flight = 9});
  core.Up(1, {.deployed = false, .parity = true});
  core.Arrive();
  core.Arrive();
  EXPECT_THAT(core.out.encodes, SizeIs(1));
}

TEST(DispatcherTest, ParityWithoutSlotWaitsForOne) {
  CodedPool pool;
  CoreHarness& core = pool.core;
  for (int i = 0; i < 2; ++i) core.Arrive();
  core.Encoded(core.out.encodes.at(0));
  const Sent first_parity = core.out.sent.at(2);
  const Sent member = core.out.sent[0];
  core.Reply(core.out.sent[1]);
  core.Handle(
      WorkerDown{.worker = WorkerId{5 - Raw(first_parity.task.worker)}});
  core.Arrive();
  core.Reply(member);
  core.Arrive();
  ASSERT_THAT(core.out.encodes, SizeIs(2));
  const size_t sent = core.out.sent.size();
  core.Encoded(core.out.encodes[1]);
  EXPECT_THAT(core.out.sent, SizeIs(sent)) << "its only worker is busy";
  core.Fail(first_parity, TaskStatus::kCancelled);
  ASSERT_THAT(core.out.sent, SizeIs(sent + 1));
  EXPECT_EQ(core.out.sent.back().task.attempt, AttemptType::kParity);
}

TEST(DispatcherTest, ParityWithoutAnyWorkerIsCounted) {
  CoreHarness core(CodedOptions(2, {.scheme = "sum", .k = 2}));
  core.Up(0, {});
  core.Up(1, {});
  core.Arrive();
  core.Arrive();
  const BufferId parity = core.Encoded(core.out.encodes.at(0));
  EXPECT_TRUE(core.Released(parity));
  EXPECT_EQ(core.model().groups_parity_unplaced, 1U);
  core.Reply(core.out.sent[0]);
  core.Reply(core.out.sent[1]);
  core.ExpectEmpty();
}

TEST(DispatcherTest, LostParityIsSentAgainWhileUseful) {
  CodedPool pool;
  CoreHarness& core = pool.core;
  core.Arrive();
  core.Arrive();
  core.Encoded(core.out.encodes.at(0));
  const WorkerId first = core.out.sent.at(2).task.worker;
  core.Handle(WorkerDown{.worker = first});
  ASSERT_THAT(core.out.sent, SizeIs(4));
  EXPECT_EQ(core.out.sent[3].task.attempt, AttemptType::kParity);
  EXPECT_NE(core.out.sent[3].task.worker, first);
  core.Handle(WorkerDown{.worker = core.out.sent[3].task.worker});
  EXPECT_THAT(core.out.sent, SizeIs(4)) << "once only";
}

}  // namespace
}  // namespace parm::core
