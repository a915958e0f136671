// Every batch twice: where to, which copy counts, and what is withdrawn when.

#include "frontend/core/policies/replicate_policy.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/frontend/core/core_harness.h"
#include "tests/frontend/core/policies/served_world.h"

namespace parm::core {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

CoreHarness ReplicatingCore(CancelLoser cancels, uint32_t num_workers = 3,
                            uint32_t max_in_flight = 4) {
  CoreHarness core(ReplicateOptions(num_workers, cancels));
  for (uint32_t i = 0; i < num_workers; ++i) {
    core.Up(i, {.domain = i, .max_in_flight = max_in_flight});
    core.heard.push_back(i);
  }
  return core;
}

void Start(CoreHarness& core, const Sent& sent) {
  core.Handle(TaskStarted{.task = sent.task.task, .worker = sent.task.worker});
}

TEST(ReplicatePolicyTest, EveryQueryGoesToTwoWorkers) {
  CoreHarness core = ReplicatingCore(CancelLoser::kAtEnd);
  core.Arrive();
  ASSERT_THAT(core.out.sent, SizeIs(2));
  EXPECT_NE(core.out.sent[0].task.worker, core.out.sent[1].task.worker);
  EXPECT_EQ(core.out.sent[0].task.priority, 0);
  EXPECT_EQ(core.out.sent[1].task.priority, 1) << "redundant work yields";
  EXPECT_EQ(core.out.sent[1].inputs, core.out.sent[0].inputs);
}

TEST(ReplicatePolicyTest, FirstAnswerWinsAndTheOtherIsWithdrawn) {
  for (const size_t winner : {0U, 1U}) {
    CoreHarness core = ReplicatingCore(CancelLoser::kAtEnd);
    core.Arrive();
    Start(core, Sent{core.out.sent.at(0)});
    EXPECT_THAT(core.out.cancelled, IsEmpty());
    core.Reply(Sent{core.out.sent.at(winner)});
    ASSERT_THAT(core.out.answers, SizeIs(1));
    EXPECT_EQ(core.out.answers[0].source,
              winner == 0 ? AnswerSource::kExact : AnswerSource::kHedged);
    EXPECT_EQ(core.model().hedge.won, winner);
    const Sent loser = core.out.sent[1 - winner];
    ASSERT_THAT(core.out.cancelled, SizeIs(1));
    EXPECT_EQ(core.out.cancelled[0].task, loser.task.task);
    core.Fail(loser, TaskStatus::kCancelled);
    core.ExpectEmpty();
  }
}

TEST(ReplicatePolicyTest, StartOfOneWithdrawsTheOther) {
  CoreHarness core = ReplicatingCore(CancelLoser::kAtStart);
  core.Arrive();
  const Sent first = core.out.sent.at(0);
  const Sent second = core.out.sent.at(1);
  Start(core, second);
  ASSERT_THAT(core.out.cancelled, SizeIs(1));
  EXPECT_EQ(core.out.cancelled[0].task, first.task.task);
  EXPECT_EQ(core.model().hedge.losers_cancelled, 1U);
  core.Fail(first, TaskStatus::kCancelled);
  EXPECT_THAT(core.out.answers, IsEmpty());
  EXPECT_THAT(core.out.sent, SizeIs(2)) << "a withdrawn copy is not retried";
  core.Reply(second);
  EXPECT_EQ(core.out.answers.at(0).source, AnswerSource::kHedged);
  core.ExpectEmpty();
}

TEST(ReplicatePolicyTest, TwoThatBeganDoNotCancelEachOther) {
  CoreHarness core = ReplicatingCore(CancelLoser::kAtStart);
  core.Arrive();
  const Sent first = core.out.sent.at(0);
  const Sent second = core.out.sent.at(1);
  Start(core, first);
  Start(core, second);
  EXPECT_THAT(core.out.cancelled, SizeIs(1));
  core.Reply(second);
  EXPECT_THAT(core.out.answers, SizeIs(1)) << "though it was to be withdrawn";
  core.Reply(first);
  EXPECT_THAT(core.out.answers, SizeIs(1));
  core.ExpectEmpty();
}

TEST(ReplicatePolicyTest, LossAfterTheWithdrawalIsRetried) {
  CoreHarness core = ReplicatingCore(CancelLoser::kAtStart);
  core.Arrive();
  const Sent first = core.out.sent.at(0);
  Start(core, first);
  core.Fail(Sent{core.out.sent.at(1)}, TaskStatus::kCancelled);
  core.Handle(WorkerDown{.worker = first.task.worker});
  ASSERT_THAT(core.out.sent, SizeIs(3));
  EXPECT_EQ(core.out.sent[2].task.attempt, AttemptType::kRetry);
  core.Reply(Sent{core.out.sent[2]});
  EXPECT_EQ(core.out.answers.at(0).source, AnswerSource::kExact);
  core.ExpectEmpty();
}

TEST(ReplicatePolicyTest, LossOfOneLeavesTheOther) {
  CoreHarness core = ReplicatingCore(CancelLoser::kAtEnd);
  core.Arrive();
  core.Handle(WorkerDown{.worker = core.out.sent.at(1).task.worker});
  EXPECT_THAT(core.out.sent, SizeIs(2)) << "no third copy";
  EXPECT_EQ(core.model().hedge.failed, 1U);
  core.Reply(Sent{core.out.sent[0]});
  EXPECT_THAT(core.out.answers, SizeIs(1));
  core.ExpectEmpty();
}

TEST(ReplicatePolicyTest, SecondCopyNeverWaitsInLine) {
  CoreHarness core = ReplicatingCore(CancelLoser::kAtEnd, /*num_workers=*/1);
  core.Arrive();
  EXPECT_THAT(core.out.sent, SizeIs(1));
  EXPECT_EQ(core.model().hedge.insufficient_workers, 1U);
  core.Reply(Sent{core.out.sent[0]});
  core.ExpectEmpty();
}

TEST(ReplicatePolicyTest, SecondCopiesLeaveHalfOfTheSlots) {
  CoreHarness core = ReplicatingCore(CancelLoser::kAtEnd, /*num_workers=*/2,
                                     /*max_in_flight=*/4);
  for (int i = 0; i < 8; ++i) core.Arrive();
  EXPECT_LE(core.model().tasks[static_cast<size_t>(AttemptType::kHedge)], 4U);
  EXPECT_GE(core.model().tasks[static_cast<size_t>(AttemptType::kOriginal)],
            4U);
}

TEST(ReplicatePolicyTest, ObserveCountsAndSendsNothing) {
  CoreOptions options = ReplicateOptions(2, CancelLoser::kAtEnd);
  options.models[0].mode = PolicyMode::kObserve;
  CoreHarness core(options);
  core.Up(0, {});
  core.Up(1, {});
  core.Arrive();
  EXPECT_THAT(core.out.sent, SizeIs(1));
  EXPECT_EQ(core.model().hedge.observed, 1U);
}

TEST(ReplicatePolicyTest, NeverReplyingWorkerDelaysNobody) {
  ServedWorld world(ReplicateOptions(4, CancelLoser::kAtEnd), 8,
                    [](const Sent& sent) -> std::optional<Duration> {
                      if (sent.task.worker == WorkerId{3}) return std::nullopt;
                      return Milliseconds(3);
                    });
  world.Run(Milliseconds(5000), 1);
  world.Run(Milliseconds(1000), 0);
  world.ExpectAnsweredOnce();
  uint64_t errors = 0;
  for (const AnswerQuery& answer : world.core.out.answers) {
    errors += answer.source == AnswerSource::kError ? 1 : 0;
  }
  EXPECT_EQ(errors, 0U);
}

}  // namespace
}  // namespace parm::core
