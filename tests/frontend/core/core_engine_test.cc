// The life of single queries through the whole core, step by step.

#include "frontend/core/core_engine.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/frontend/core/core_harness.h"
#include "tests/support/matchers.h"

namespace parm::core {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

TEST(CoreEngineTest, ExactAnswerLeavesInTheReplysCall) {
  CoreHarness core(PlainOptions(1));
  core.Up(0, {});
  const QueryId query = core.Arrive();
  ASSERT_THAT(core.out.sent, SizeIs(1));
  EXPECT_THAT(core.out.sent[0].inputs, ElementsAre(core.InputOf(query)));
  EXPECT_EQ(core.out.sent[0].task.attempt, AttemptType::kOriginal);
  const BufferId output = core.Reply(core.out.sent[0]);
  ASSERT_THAT(core.out.answers, SizeIs(1));
  EXPECT_EQ(core.out.answers[0].query, query);
  EXPECT_EQ(core.out.answers[0].source, AnswerSource::kExact);
  EXPECT_EQ(core.out.answers[0].output, output);
  EXPECT_EQ(core.out.answers[0].num_samples, 1U);
  core.ExpectEmpty();
}

TEST(CoreEngineTest, UnansweredQueryEndsAtItsDeadline) {
  CoreHarness core(PlainOptions(1));
  core.Up(0, {});
  core.heard = {0};
  core.Arrive();
  core.Advance(Milliseconds(499));
  EXPECT_THAT(core.out.answers, SizeIs(0));
  core.Advance(Milliseconds(1));
  ASSERT_THAT(core.out.answers, SizeIs(1));
  EXPECT_EQ(core.out.answers[0].source, AnswerSource::kError);
  EXPECT_EQ(core.out.answers[0].error, AnswerError::kDeadlineExceeded);
  EXPECT_THAT(core.out.cancelled, SizeIs(1));
  // The worker may still be at it: its slot counts for a while.
  EXPECT_EQ(core.sizes().tasks, 1U);
  core.Advance(Milliseconds(500));
  core.ExpectEmpty();
}

TEST(CoreEngineTest, LostMemberIsReconstructedAtTheTrigger) {
  CoreHarness core(CodedOptions(3, {.scheme = "sum", .k = 2}));
  core.Up(0, {});
  core.Up(1, {});
  core.Up(2, {.deployed = false, .parity = true});
  core.heard = {0, 1, 2};
  const QueryId lost = core.Arrive();
  core.Arrive();
  ASSERT_THAT(core.out.sent, SizeIs(2));
  ASSERT_THAT(core.out.encodes, SizeIs(1));
  const BufferId parity = core.Encoded(core.out.encodes[0]);
  ASSERT_THAT(core.out.sent, SizeIs(3));
  EXPECT_EQ(core.out.sent[2].task.worker, WorkerId{2});
  EXPECT_EQ(core.out.sent[2].task.bundle, kParity);
  EXPECT_EQ(core.out.sent[2].task.priority, 1);
  EXPECT_THAT(core.out.sent[2].inputs, ElementsAre(parity));

  const BufferId sibling = core.Reply(core.out.sent[1]);
  const BufferId answer = core.Reply(core.out.sent[2]);
  EXPECT_THAT(core.out.decodes, SizeIs(0)) << "held back until the trigger";
  core.Advance(Milliseconds(50));
  ASSERT_THAT(core.out.decodes, SizeIs(1));
  EXPECT_THAT(core.out.decodes[0].outputs,
              ElementsAre(BufferId{}, sibling, answer));
  const BufferId decoded = core.Decoded(core.out.decodes[0]);
  ASSERT_THAT(core.out.answers, SizeIs(2));
  EXPECT_EQ(core.out.answers[1].query, lost);
  EXPECT_EQ(core.out.answers[1].source, AnswerSource::kReconstructed);
  EXPECT_EQ(core.out.answers[1].output, decoded);

  // The late original tells how good that was.
  core.Advance(Milliseconds(1));
  const BufferId original = core.Reply(core.out.sent[0]);
  ASSERT_THAT(core.out.compared, SizeIs(1));
  EXPECT_EQ(core.out.compared[0].decoded, decoded);
  EXPECT_EQ(core.out.compared[0].original, original);
  EXPECT_EQ(core.model().late_originals, 1U);
  core.ExpectEmpty();
}

TEST(CoreEngineTest, PackDecodesFromParityAlone) {
  CoreHarness core(CodedOptions(3, {.scheme = "pack", .k = 2}));
  core.Up(0, {});
  core.Up(1, {});
  core.Up(2, {.deployed = false, .parity = true});
  core.heard = {0, 1, 2};
  core.Arrive();
  core.Arrive();
  core.Encoded(core.out.encodes[0]);
  core.Reply(core.out.sent[2]);
  core.Advance(Milliseconds(50));
  ASSERT_THAT(core.out.decodes, SizeIs(2));
  core.Decoded(core.out.decodes[0]);
  core.Decoded(core.out.decodes[1]);
  EXPECT_THAT(core.out.answers, SizeIs(2));
  EXPECT_EQ(
      core.model().answers[static_cast<size_t>(AnswerSource::kReconstructed)],
      2U);
}

TEST(CoreEngineTest, QueriesAboveTheBoundAreShed) {
  CoreOptions options = PlainOptions(1);
  options.max_queries = 2;
  CoreHarness core(options);
  core.Up(0, {});
  core.Arrive();
  core.Arrive();
  const QueryId shed = core.Arrive();
  ASSERT_THAT(core.out.answers, SizeIs(1));
  EXPECT_EQ(core.out.answers[0].query, shed);
  EXPECT_EQ(core.out.answers[0].error, AnswerError::kOverloaded);
  EXPECT_TRUE(core.Released(core.InputOf(shed)));
  EXPECT_EQ(core.counters().shed_queries, 1U);
  core.Reply(core.out.sent.at(0));
  core.Arrive();
  EXPECT_THAT(core.out.answers, SizeIs(2)) << "there is room again";
}

TEST(CoreEngineTest, BytesAboveTheBoundAreShed) {
  CoreOptions options = PlainOptions(1);
  options.max_buffered_bytes = 250;
  CoreHarness core(options);
  core.Up(0, {});
  core.Arrive({.bytes = 100});
  core.Arrive({.bytes = 151});
  ASSERT_THAT(core.out.answers, SizeIs(1));
  EXPECT_EQ(core.out.answers[0].error, AnswerError::kOverloaded);
  EXPECT_EQ(core.counters().shed_bytes, 1U);
  core.Arrive({.bytes = 150});
  EXPECT_THAT(core.out.answers, SizeIs(1));
}

TEST(CoreEngineTest, BundleNobodyEverServedIsRefusedAtOnce) {
  CoreHarness core(PlainOptions(1));
  core.Arrive();
  ASSERT_THAT(core.out.answers, SizeIs(1));
  EXPECT_EQ(core.out.answers[0].error, AnswerError::kNoWorker);
  core.ExpectEmpty();
}

TEST(CoreEngineTest, DeadWorkerMayComeBackBeforeTheDeadline) {
  CoreHarness core(PlainOptions(1));
  core.Up(0, {.nonce = 1});
  core.Handle(WorkerDown{.worker = WorkerId{0}});
  core.Arrive();
  EXPECT_THAT(core.out.answers, SizeIs(0));
  core.Advance(Milliseconds(300));
  core.Up(0, {.nonce = 2});
  ASSERT_THAT(core.out.sent, SizeIs(1));
  core.Reply(core.out.sent[0]);
  EXPECT_EQ(core.out.answers.at(0).source, AnswerSource::kExact);
}

TEST(CoreEngineTest, WorkerThatStaysAwayGivesNoWorker) {
  CoreHarness core(PlainOptions(1));
  core.Up(0, {});
  core.Handle(WorkerDown{.worker = WorkerId{0}});
  core.Arrive();
  core.Advance(Milliseconds(500));
  ASSERT_THAT(core.out.answers, SizeIs(1));
  EXPECT_EQ(core.out.answers[0].error, AnswerError::kNoWorker);
  core.ExpectEmpty();
}

TEST(CoreEngineTest, WorkerThatLeftIsMissedByNobody) {
  CoreHarness core(PlainOptions(2));
  core.Up(0, {});
  core.Up(1, {});
  core.Arrive({.deadline = Milliseconds(5000)});
  const WorkerId leaving = core.out.sent.at(0).task.worker;
  core.Handle(WorkerLeft{.worker = leaving});
  ASSERT_THAT(core.out.sent, SizeIs(2)) << "its task goes to the other";
  EXPECT_NE(core.out.sent[1].task.worker, leaving);
  core.Reply(core.out.sent[1]);
  EXPECT_EQ(core.out.answers.at(0).source, AnswerSource::kExact);
  core.heard = {Raw(leaving) == 0 ? 1U : 0U};
  core.Advance(Milliseconds(5000));
  EXPECT_EQ(core.counters().probes, 0U);
  EXPECT_EQ(core.counters().workers_silent, 0U);
  EXPECT_EQ(core.counters().workers_lost, 0U);
  // Whoever has its place next is no restart of it.
  core.Up(Raw(leaving), {.nonce = 9});
  EXPECT_EQ(core.counters().workers_restarted, 0U);
  core.Arrive();
  core.Arrive();
  ASSERT_THAT(core.out.sent, SizeIs(4));
  EXPECT_NE(core.out.sent[2].task.worker, core.out.sent[3].task.worker);
}

TEST(CoreEngineTest, LastWorkerMayLeaveBehindAWaitingQuery) {
  CoreHarness core(PlainOptions(2));
  core.Up(0, {});
  core.Arrive({.deadline = Milliseconds(5000)});
  core.Arrive({.deadline = Milliseconds(5000)});
  core.Handle(WorkerLeft{.worker = WorkerId{0}});
  core.Handle(WorkerLeft{.worker = WorkerId{0}});
  core.heard = {1};
  core.Up(1, {.max_in_flight = 2});
  ASSERT_THAT(core.out.sent, SizeIs(3));
  core.Reply(core.out.sent[1]);
  core.Reply(core.out.sent[2]);
  EXPECT_THAT(core.out.answers, SizeIs(2));
  core.ExpectEmpty();
}

TEST(CoreEngineTest, DrainingCoreTakesNothingAndFinishes) {
  CoreHarness core(PlainOptions(1));
  core.Up(0, {});
  core.Arrive();
  core.Handle(DrainRequested{});
  const QueryId refused = core.Arrive();
  ASSERT_THAT(core.out.answers, SizeIs(1));
  EXPECT_EQ(core.out.answers[0].query, refused);
  EXPECT_EQ(core.out.answers[0].error, AnswerError::kDraining);
  core.Reply(core.out.sent.at(0));
  EXPECT_EQ(core.out.answers.at(1).source, AnswerSource::kExact);
  core.ExpectEmpty();
}

TEST(CoreEngineTest, AbandonedQueryIsNeverAnswered) {
  CoreHarness core(PlainOptions(1));
  core.Up(0, {});
  const QueryId gone = core.Arrive();
  core.Handle(QueryAbandoned{.query = gone});
  core.Handle(QueryAbandoned{.query = gone});
  core.Handle(QueryAbandoned{.query = QueryId{99}});
  EXPECT_EQ(core.model().abandoned, 1U);
  EXPECT_THAT(core.out.cancelled, SizeIs(1));
  core.Fail(core.out.sent.at(0), TaskStatus::kCancelled);
  EXPECT_THAT(core.out.answers, SizeIs(0));
  core.ExpectEmpty();
}

TEST(CoreEngineTest, DeadlinesInAReplysCallComeFirst) {
  CoreHarness core(PlainOptions(1));
  core.Up(0, {});
  core.heard = {0};
  core.Arrive();
  core.out.wake.reset();  // a loop that is late to its timer
  core.Advance(Milliseconds(501));
  core.Reply(core.out.sent.at(0));
  ASSERT_THAT(core.out.answers, SizeIs(1));
  EXPECT_EQ(core.out.answers[0].error, AnswerError::kDeadlineExceeded);
}

// Two workers with a task each, and a loop that did not run for 700 ms.
struct StalledFrontend {
  StalledFrontend() : core(PlainOptions(2)) {
    core.Up(0, {});
    core.Up(1, {});
    core.Arrive({.deadline = Milliseconds(5000)});
    core.Arrive({.deadline = Milliseconds(5000)});
    core.out.wake.reset();
    core.Advance(Milliseconds(700));
  }
  CoreHarness core;
};

TEST(CoreEngineTest, StallOfTheFrontendBlamesNoWorker) {
  StalledFrontend stalled;
  CoreHarness& core = stalled.core;
  core.Handle(TimerFired{});
  EXPECT_EQ(core.counters().workers_silent, 0U);
  EXPECT_THAT(core.out.probes, SizeIs(2)) << "they are asked instead";
  core.Handle(WorkerHeard{.worker = WorkerId{0}});
  core.Handle(WorkerHeard{.worker = WorkerId{1}});
  core.heard = {0, 1};
  core.Advance(Milliseconds(2000));
  EXPECT_EQ(core.counters().workers_silent, 0U);
  EXPECT_THAT(core.out.sent, SizeIs(2)) << "nothing is sent again";
}

TEST(CoreEngineTest, SilenceAfterAStallIsSilence) {
  StalledFrontend stalled;
  CoreHarness& core = stalled.core;
  core.Handle(TimerFired{});
  core.Advance(Milliseconds(249));
  EXPECT_EQ(core.counters().workers_silent, 0U);
  core.Advance(Milliseconds(1));
  EXPECT_EQ(core.counters().workers_silent, 2U);
}

TEST(CoreEngineTest, IdleHeartbeatFromBeforeAStallIsOld) {
  StalledFrontend stalled;
  CoreHarness& core = stalled.core;
  const WorkerHeard idle = {.worker = WorkerId{0}, .has_depths = true};
  core.Handle(idle);
  EXPECT_EQ(core.counters().tasks_redispatched, 0U);
  core.heard = {0, 1};
  core.Advance(Milliseconds(300));
  core.Handle(idle);
  EXPECT_EQ(core.counters().tasks_redispatched, 1U);
}

TEST(CoreEngineTest, EarlyTimerIsAskedForAgain) {
  CoreHarness core(PlainOptions(1));
  core.Up(0, {});
  core.Arrive();
  ASSERT_TRUE(core.out.wake);
  const Time wake = *std::exchange(core.out.wake, std::nullopt);
  core.Handle(TimerFired{});
  EXPECT_EQ(core.out.wake, wake);
}

TEST(CoreEngineTest, ThousandLaterArrivalsForgetNobody) {
  CoreHarness core(PlainOptions(2));
  core.Up(0, {.max_in_flight = 2});
  core.Up(1, {.max_in_flight = 2});
  const QueryId slow = core.Arrive();
  const Sent slow_task = core.out.sent.at(0);
  for (size_t i = 1; i <= 2000; ++i) {
    core.Arrive();
    core.Reply(core.out.sent.at(i));
  }
  EXPECT_THAT(core.out.answers, SizeIs(2000));
  core.Reply(slow_task);
  EXPECT_EQ(core.out.answers.back().query, slow);
  EXPECT_EQ(core.out.answers.back().source, AnswerSource::kExact);
}

TEST(CoreEngineTest, TwoModelsAreServedWithoutCrossTalk) {
  CoreOptions options = CodedOptions(4, {.scheme = "sum", .k = 2});
  options.models.push_back(options.models[0]);
  options.models[1].code = MakeCode({.scheme = "pack", .k = 3});
  CoreHarness core(options);
  const std::vector<ServedBundle> bundles = {
      {kDeployed, ModelId{0}, BundleRole::kDeployed, kDeployed},
      {BundleKey{11}, ModelId{1}, BundleRole::kDeployed, BundleKey{11}}};
  core.Handle(WorkerUp{.worker = WorkerId{0},
                       .nonce = 1,
                       .max_in_flight = 99,
                       .bundles = bundles});
  for (uint64_t i = 0; i < 5; ++i) {
    const ModelId model{static_cast<uint32_t>(i % 2)};
    core.Handle(QueryArrived{.query = QueryId{100 + i},
                             .model = model,
                             .deployed = BundleKey{10 + Raw(model)},
                             .signature = 1,
                             .input = core.NewBuffer(),
                             .deadline = core.now() + Milliseconds(500)});
  }
  ASSERT_THAT(core.out.encodes, SizeIs(1));
  EXPECT_EQ(core.out.encodes[0].action.model, ModelId{0});
  EXPECT_THAT(core.out.encodes[0].members, SizeIs(2));
}

// Sum over two is unit 0, pack of three unit 1; a parity bundle for each.
class UnitsTest : public ::testing::Test {
 protected:
  static constexpr BundleKey kSum{21};
  static constexpr BundleKey kPack{22};

  static CoreOptions Options() {
    CoreOptions options = CodedOptions(6, {.scheme = "sum", .k = 2});
    options.models[0].more_codes = {MakeCode({.scheme = "pack", .k = 3})};
    return options;
  }
  void Serve(uint32_t worker, const std::vector<ServedBundle>& bundles) {
    core.Handle(WorkerUp{.worker = WorkerId{worker},
                         .nonce = 1,
                         .max_in_flight = 99,
                         .bundles = bundles});
  }
  UnitsTest() {
    for (uint32_t i = 0; i < 4; ++i) core.Up(i, {.max_in_flight = 99});
    Serve(4, {{kSum, kModel, BundleRole::kParity, kDeployed, 0, 0}});
    Serve(5, {{kPack, kModel, BundleRole::kParity, kDeployed, 0, 1}});
  }

  CoreHarness core{Options()};
};

TEST_F(UnitsTest, EachGroupHasTheCodeOfItsQueries) {
  core.Arrive({.unit = 1});
  core.Arrive({.unit = 0});
  core.Arrive({.unit = 1});
  core.Arrive({.unit = 0});
  ASSERT_THAT(core.out.encodes, SizeIs(1));
  EXPECT_EQ(core.out.encodes[0].action.unit, 0);
  EXPECT_THAT(core.out.encodes[0].members, SizeIs(2));
  core.Arrive({.unit = 1});
  ASSERT_THAT(core.out.encodes, SizeIs(2));
  EXPECT_EQ(core.out.encodes[1].action.unit, 1);
  EXPECT_THAT(core.out.encodes[1].members, SizeIs(3));
  core.Encoded(core.out.encodes[1]);
  EXPECT_EQ(core.out.sent.back().task.bundle, kPack);
  core.Encoded(core.out.encodes[0]);
  EXPECT_EQ(core.out.sent.back().task.bundle, kSum);
}

TEST_F(UnitsTest, GroupUnderWayIsDecodedByItsOwnCode) {
  core.Arrive({.unit = 0});
  // Another unit is the better buy from now on.
  core.Handle(UnitChosen{.model = kModel,
                         .unit = 1,
                         .answered_by = BundleRole::kParity,
                         .cost = 1});
  const QueryId lost = core.Arrive({.unit = 0});
  core.Encoded(core.out.encodes.at(0));
  core.Reply(core.out.sent.at(0));
  core.Reply(core.out.sent.back());  // the parity query
  core.Advance(Milliseconds(60));
  ASSERT_THAT(core.out.decodes, SizeIs(1));
  EXPECT_EQ(core.out.decodes[0].action.unit, 0);
  core.Decoded(core.out.decodes[0]);
  EXPECT_EQ(core.out.answers.back().query, lost);
  EXPECT_EQ(core.out.answers.back().source, AnswerSource::kReconstructed);
}

TEST_F(UnitsTest, ChosenRoleAnswersItsParityQueries) {
  constexpr BundleKey kBackup{23};
  Serve(5, {{kPack, kModel, BundleRole::kParity, kDeployed, 0, 1},
            {kBackup, kModel, BundleRole::kBackup, kBackup}});
  for (const BundleRole role : {BundleRole::kBackup, BundleRole::kParity}) {
    core.Handle(UnitChosen{.model = kModel, .unit = 1, .answered_by = role});
    for (int i = 0; i < 3; ++i) core.Arrive({.unit = 1});
    core.Encoded(core.out.encodes.back());
    EXPECT_EQ(core.out.sent.back().task.bundle,
              role == BundleRole::kBackup ? kBackup : kPack);
  }
}

}  // namespace
}  // namespace parm::core
