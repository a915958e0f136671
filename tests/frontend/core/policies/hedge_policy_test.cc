// When a second copy is sent, where to, and what it may cost.

#include "frontend/core/policies/hedge_policy.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/frontend/core/core_harness.h"
#include "tests/frontend/core/policies/served_world.h"

namespace parm::core {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr BudgetOptions kAmple = {
    .max_extra_load = 1, .min_per_second = 1000, .max_concurrent = 1000};

CoreHarness HedgingCore(CoreOptions options) {
  CoreHarness core(options);
  for (uint32_t i = 0; i < options.num_workers; ++i) {
    core.Up(i, {.domain = i, .max_in_flight = 100});
    core.heard.push_back(i);
  }
  return core;
}

TEST(HedgePolicyTest, LateQueryIsHedgedElsewhere) {
  CoreHarness core = HedgingCore(HedgeOptionsFor(3, Milliseconds(30), kAmple));
  core.Arrive();
  core.Advance(Milliseconds(29));
  EXPECT_THAT(core.out.sent, SizeIs(1));
  core.Advance(Milliseconds(1));
  ASSERT_THAT(core.out.sent, SizeIs(2));
  const Sent hedge = core.out.sent[1];
  EXPECT_EQ(hedge.task.attempt, AttemptType::kHedge);
  EXPECT_EQ(hedge.task.priority, 0);
  EXPECT_NE(hedge.task.worker, core.out.sent[0].task.worker);
  core.Reply(hedge);
  ASSERT_THAT(core.out.answers, SizeIs(1));
  EXPECT_EQ(core.out.answers[0].source, AnswerSource::kHedged);
  ASSERT_THAT(core.out.cancelled, SizeIs(1));
  EXPECT_EQ(core.out.cancelled[0].task, core.out.sent[0].task.task);
  EXPECT_EQ(core.model().hedge.won, 1U);
  EXPECT_EQ(core.model().hedge.delay.count(), 1);
  core.Fail(core.out.sent[0], TaskStatus::kCancelled);
  core.Advance(Milliseconds(1000));
  EXPECT_THAT(core.out.sent, SizeIs(2)) << "once only";
  core.ExpectEmpty();
}

TEST(HedgePolicyTest, OriginalMayStillWin) {
  CoreHarness core = HedgingCore(HedgeOptionsFor(3, Milliseconds(30), kAmple));
  core.Arrive();
  core.Advance(Milliseconds(30));
  core.Reply(core.out.sent.at(0));
  EXPECT_EQ(core.out.answers.at(0).source, AnswerSource::kExact);
  ASSERT_THAT(core.out.cancelled, SizeIs(1));
  EXPECT_EQ(core.out.cancelled[0].task, core.out.sent.at(1).task.task);
  EXPECT_EQ(core.model().hedge.won, 0U);
  EXPECT_TRUE(core.Released(core.Reply(core.out.sent[1])));
  core.ExpectEmpty();
}

TEST(HedgePolicyTest, AnswerInTimeCostsNothing) {
  CoreHarness core = HedgingCore(HedgeOptionsFor(3, Milliseconds(30), kAmple));
  core.Arrive();
  core.Reply(core.out.sent.at(0));
  core.Advance(Milliseconds(100));
  EXPECT_THAT(core.out.sent, SizeIs(1));
  core.ExpectEmpty();
}

TEST(HedgePolicyTest, ColdStartWaitsForHalfTheDeadline) {
  CoreOptions options = HedgeOptionsFor(3, Milliseconds(30), kAmple);
  options.models[0].hedge.max.reset();
  CoreHarness core = HedgingCore(options);
  core.Arrive();
  core.Advance(Milliseconds(249));
  EXPECT_THAT(core.out.sent, SizeIs(1));
  core.Advance(Milliseconds(1));
  EXPECT_THAT(core.out.sent, SizeIs(2));
}

TEST(HedgePolicyTest, DelayIsAQuantileOfTheModelsOwnTimes) {
  ServedWorld world(HedgeOptionsFor(4, Milliseconds(200), kAmple), 100,
                    [](const Sent&) { return Milliseconds(10); });
  world.Run(Milliseconds(200), 1);
  world.Run(Milliseconds(20), 0);
  const size_t before = world.core.out.sent.size();
  world.set_service([](const Sent&) { return std::nullopt; });
  world.core.Arrive();
  world.core.Advance(Milliseconds(8));
  EXPECT_THAT(world.core.out.sent, SizeIs(before + 1));
  world.core.Advance(Milliseconds(4));
  EXPECT_THAT(world.core.out.sent, SizeIs(before + 2));
}

TEST(HedgePolicyTest, DelayIsNeverBelowItsMinimum) {
  CoreOptions options = HedgeOptionsFor(4, Milliseconds(200), kAmple);
  options.models[0].hedge.min = Milliseconds(50);
  ServedWorld world(options, 100, [](const Sent&) { return Milliseconds(2); });
  world.Run(Milliseconds(200), 1);
  world.Run(Milliseconds(20), 0);
  const size_t before = world.core.out.sent.size();
  world.core.Arrive();
  world.core.Advance(Milliseconds(49));
  EXPECT_THAT(world.core.out.sent, SizeIs(before + 1));
  world.core.Advance(Milliseconds(1));
  EXPECT_THAT(world.core.out.sent, SizeIs(before + 2));
}

TEST(HedgePolicyTest, OtherFaultDomainIsPreferred) {
  CoreHarness core(HedgeOptionsFor(3, Milliseconds(30), kAmple));
  core.Up(0, {.domain = 1, .max_in_flight = 9});
  core.Up(1, {.domain = 1, .max_in_flight = 9});
  core.heard = {0, 1, 2};
  core.Arrive();
  core.Up(2, {.domain = 2, .max_in_flight = 9});
  core.Arrive();
  core.Arrive();
  for (uint32_t i = 0; i < 3; ++i) {
    ASSERT_EQ(core.out.sent.at(i).task.worker, WorkerId{i});
  }
  core.Reply(core.out.sent[1]);
  core.Advance(Milliseconds(30));
  EXPECT_EQ(core.out.sent.at(3).inputs, core.out.sent[0].inputs);
  EXPECT_EQ(core.out.sent[3].task.worker, WorkerId{2})
      << "though worker 1 is idle";
}

TEST(HedgePolicyTest, HedgeWithoutAnyOtherWorkerIsCounted) {
  CoreHarness core = HedgingCore(HedgeOptionsFor(1, Milliseconds(30), kAmple));
  core.Arrive();
  core.Advance(Milliseconds(500));
  EXPECT_THAT(core.out.sent, SizeIs(1));
  // At 30, 60, 120, 240 and 480 ms.
  EXPECT_EQ(core.model().hedge.insufficient_workers, 5U);
  EXPECT_EQ(core.model().hedge.extra_service, Duration{0});
  EXPECT_THAT(core.out.answers, SizeIs(1));
}

TEST(HedgePolicyTest, DueHedgeIsTriedAgainLater) {
  CoreHarness core(HedgeOptionsFor(2, Milliseconds(30), kAmple));
  core.Up(0, {});
  core.heard = {0, 1};
  core.Arrive();
  core.Advance(Milliseconds(40));
  core.Up(1, {});
  EXPECT_THAT(core.out.sent, SizeIs(1));
  core.Advance(Milliseconds(20));
  EXPECT_THAT(core.out.sent, SizeIs(2));
}

TEST(HedgePolicyTest, RetriedQueryIsNotHedged) {
  CoreHarness core = HedgingCore(HedgeOptionsFor(4, Milliseconds(30), kAmple));
  core.Arrive();
  core.Fail(core.out.sent.at(0), TaskStatus::kError, /*retryable=*/true);
  EXPECT_THAT(core.out.sent, SizeIs(2)) << "the next copy at once";
  core.Advance(Milliseconds(400));
  EXPECT_THAT(core.out.sent, SizeIs(2));
}

TEST(HedgePolicyTest, BelievedErrorIsNotHedged) {
  CoreOptions options = CodedOptions(4, {.scheme = "sum", .k = 2});
  options.models[0].policy = PolicyKind::kHedge;
  options.models[0].hedge = {.max = Milliseconds(30), .budget = kAmple};
  CoreHarness core = HedgingCore(options);
  core.Arrive();
  core.Fail(core.out.sent.at(0), TaskStatus::kError);
  EXPECT_EQ(core.out.answers.at(0).error, AnswerError::kBackend);
  core.Advance(Milliseconds(100));
  EXPECT_THAT(core.out.sent, SizeIs(1));
}

TEST(HedgePolicyTest, FailedHedgeLeavesTheOriginal) {
  CoreHarness core = HedgingCore(HedgeOptionsFor(3, Milliseconds(30), kAmple));
  core.Arrive();
  core.Advance(Milliseconds(30));
  core.Fail(core.out.sent.at(1), TaskStatus::kError, /*retryable=*/true);
  EXPECT_EQ(core.model().hedge.failed, 1U);
  EXPECT_THAT(core.out.sent, SizeIs(2)) << "a full queue causes no copy";
  core.Reply(core.out.sent[0]);
  EXPECT_EQ(core.out.answers.at(0).source, AnswerSource::kExact);
  core.ExpectEmpty();
}

TEST(HedgePolicyTest, ObserveCountsAndSendsNothing) {
  CoreOptions options = HedgeOptionsFor(3, Milliseconds(30), kAmple);
  options.models[0].mode = PolicyMode::kObserve;
  CoreHarness core = HedgingCore(options);
  core.Arrive();
  core.Advance(Milliseconds(400));
  EXPECT_THAT(core.out.sent, SizeIs(1));
  EXPECT_EQ(core.model().hedge.observed, 1U);
}

TEST(HedgePolicyTest, WithdrawnCopyIsPaidForIfItMayHaveRun) {
  for (const bool begins_are_told : {false, true}) {
    SCOPED_TRACE(begins_are_told);
    CoreHarness core = HedgingCore(HedgeOptionsFor(
        3, Milliseconds(30), {.max_extra_load = 1, .min_per_second = 0}));
    for (int i = 0; i < 40; ++i) {
      core.Arrive();
      const Sent sent = core.out.sent.back();
      if (begins_are_told) core.Start(sent);
      core.Advance(Milliseconds(10));
      core.Reply(sent);
    }
    core.Arrive();
    const Sent sent = core.out.sent.back();
    core.Advance(Milliseconds(30));
    ASSERT_THAT(core.out.sent, SizeIs(42));
    core.Reply(sent);
    core.Fail(Sent{core.out.sent[41]}, TaskStatus::kCancelled);
    EXPECT_EQ(core.model().hedge.extra_service,
              Milliseconds(begins_are_told ? 0 : 10));
    core.ExpectEmpty();
  }
}

TEST(HedgePolicyTest, EachWorkerIsPaidForByWhatItTells) {
  constexpr WorkerId kTells{0};
  CoreHarness core = HedgingCore(HedgeOptionsFor(
      2, Milliseconds(30), {.max_extra_load = 1, .min_per_second = 0}));
  const auto arrive = [&core] {
    core.Arrive();
    const Sent sent = core.out.sent.back();
    if (sent.task.worker == kTells) core.Start(sent);
    return sent;
  };
  for (int i = 0; i < 40; ++i) {
    const Sent sent = arrive();
    core.Advance(Milliseconds(10));
    core.Reply(sent);
  }
  for (const WorkerId hedged_at : {WorkerId{1}, kTells}) {
    const Sent sent = arrive();
    core.Advance(Milliseconds(30));
    const Sent copy = core.out.sent.back();
    ASSERT_EQ(copy.task.attempt, AttemptType::kHedge);
    ASSERT_EQ(copy.task.worker, hedged_at);
    const Duration before = core.model().hedge.extra_service;
    core.Reply(sent);
    core.Fail(copy, TaskStatus::kCancelled);
    EXPECT_EQ(core.model().hedge.extra_service - before,
              Milliseconds(hedged_at == kTells ? 0 : 10));
    core.Reply(arrive());  // the next one goes to the other worker
  }
  core.ExpectEmpty();
}

TEST(HedgePolicyTest, CopiesAtOnceAreLimited) {
  CoreHarness core = HedgingCore(HedgeOptionsFor(
      3, Milliseconds(30),
      {.max_extra_load = 1, .min_per_second = 1000, .max_concurrent = 2}));
  for (int i = 0; i < 5; ++i) core.Arrive();
  core.Advance(Milliseconds(30));
  EXPECT_THAT(core.out.sent, SizeIs(7));
  EXPECT_EQ(core.model().hedge.budget_exhausted, 3U);
  core.Reply(core.out.sent[5]);
  core.Advance(Milliseconds(30));
  EXPECT_THAT(core.out.sent, SizeIs(8)) << "one has made room";
}

TEST(HedgePolicyTest, CopiesKeepToTheirBudget) {
  ServedWorld world(HedgeOptionsFor(8, Milliseconds(50),
                                    {.max_extra_load = 0.05,
                                     .min_per_second = 10,
                                     .max_concurrent = 1000}),
                    1000, [](const Sent& sent) {
                      return Milliseconds(Draw(sent) < 0.3 ? 100 : 10);
                    });
  constexpr int kSeconds = 5;
  world.Run(Milliseconds(1000 * kSeconds), 1);
  EXPECT_GT(world.NumSent(AttemptType::kHedge), 200U);
  const HedgeCounters& hedge = world.core.model().hedge;
  EXPECT_GT(hedge.budget_exhausted, 0U);
  constexpr double kMeanSeconds = 0.3 * 0.1 + 0.7 * 0.01;
  EXPECT_LE(ToSeconds(hedge.extra_service),
            0.05 * ToSeconds(hedge.ordinary_service) +
                kMeanSeconds * (10 * kSeconds + 10));
  world.ExpectCopiesApart();
}

TEST(HedgePolicyTest, PoisonStepsMoveTheDelayLittle) {
  ServedWorld world(HedgeOptionsFor(8, Milliseconds(300), kAmple), 1000,
                    [](const Sent&) { return Milliseconds(10); });
  world.Run(Milliseconds(500), 1);
  for (const double slow : {0.01, 0.03, 0.08, 0.2, 0.3}) {
    SCOPED_TRACE(slow);
    world.set_service([slow](const Sent& sent) {
      return Milliseconds(Draw(sent) < slow ? 200 : 10);
    });
    const uint64_t before = world.NumSent(AttemptType::kHedge);
    world.Run(Milliseconds(4000), 1);
    const auto hedges =
        static_cast<double>(world.NumSent(AttemptType::kHedge) - before);
    EXPECT_GT(hedges, 0.7 * slow * 4000) << "slow jobs are still hedged";
  }
  // Three times the median, and a bucket.
  EXPECT_LE(world.core.model().hedge.delay.Quantile(0.99), Milliseconds(36));
}

TEST(HedgePolicyTest, NeverReplyingWorkerRatchetsNoDelay) {
  ServedWorld world(HedgeOptionsFor(4, Milliseconds(300), kAmple), 8,
                    [](const Sent&) { return Milliseconds(10); });
  world.Run(Milliseconds(500), 1);
  world.set_service([](const Sent& sent) -> std::optional<Duration> {
    if (sent.task.worker == WorkerId{3}) return std::nullopt;
    return Milliseconds(10);
  });
  world.Run(Milliseconds(10'000), 1);
  EXPECT_GT(world.NumSent(AttemptType::kHedge), 20U);
  EXPECT_LE(world.core.model().hedge.delay.Quantile(0.99), Milliseconds(36));
  world.Run(Milliseconds(1000), 0);
  world.ExpectAnsweredOnce();
  world.ExpectCopiesApart();
}

TEST(HedgePolicyTest, BrakeHoldsWhileMostWorkersAreSlow) {
  ServedWorld world(HedgeOptionsFor(8, Milliseconds(300), kAmple), 1000,
                    [](const Sent&) { return Milliseconds(10); });
  world.Run(Milliseconds(500), 1);
  world.set_service([](const Sent&) { return Milliseconds(100); });
  world.Run(Milliseconds(150), 1);
  EXPECT_GT(world.core.model().hedge.braked, 0U);
  const uint64_t sent = world.NumSent(AttemptType::kHedge);
  EXPECT_LE(sent, 100U) << "until it was noticed";
  world.Run(Milliseconds(50), 1);
  EXPECT_LE(world.NumSent(AttemptType::kHedge), sent + 2);
  // Back to few slow ones.
  world.set_service([](const Sent& task) {
    return Milliseconds(Draw(task) < 0.1 ? 400 : 10);
  });
  world.Run(Milliseconds(1000), 1);
  EXPECT_GT(world.NumSent(AttemptType::kHedge), sent + 20) << "released";
}

}  // namespace
}  // namespace parm::core
