#include "experiments/sim/load_run.h"

#include <algorithm>
#include <memory>

#include "absl/status/status.h"
#include "encoder/code.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/matchers.h"

namespace parm::sim {
namespace {

using ::testing::AllOf;
using ::testing::DoubleNear;
using ::testing::Ge;
using ::testing::Gt;
using ::testing::Le;
using ::testing::Lt;
using ::testing::Optional;

constexpr int kQueries = 8'000;

LoadScenario Clean() {
  return {.name = "clean",
          .file = "s.yaml",
          .num_workers = 12,
          .pace = {.service = Milliseconds(20),
                   .per_extra_sample = Milliseconds(20)},
          .network_min = Milliseconds(1),
          .network_max = Milliseconds(1),
          .load = 0.3,
          .num_queries = kQueries,
          .warm_up = Milliseconds(500)};
}

LoadScenario SlowJobs() {
  LoadScenario scenario = Clean();
  scenario.name = "slow";
  scenario.faults = {{.slow_job_probability = 0.01, .slow_job_factor = 10}};
  return scenario;
}

Candidate None() {
  Candidate none{.policy = "none"};
  none.core.models.push_back({.name = "m"});
  return none;
}

Candidate Coded() {
  Candidate coded = None();
  coded.policy = "coded";
  core::ModelOptions& model = coded.core.models.front();
  model.policy = core::PolicyKind::kCoded;
  model.code = CreateCode({.scheme = "sum", .k = 2}).value();
  return coded;
}

TEST(LoadRunTest, MeasuresLoadAsItIsDefined) {
  PARM_ASSERT_OK_AND_ASSIGN(const LoadRun run,
                            RunLoadScenario(Clean(), None(), 1));
  // 0.3 x 12 workers / 20 ms.
  EXPECT_THAT(run.entry.offered_qps, Optional(DoubleNear(180, 5)));
  EXPECT_EQ(run.entry.queries, kQueries);
  EXPECT_EQ(run.entry.answers.exact, kQueries);
  EXPECT_EQ(run.entry.workers, 12);
  EXPECT_THAT(run.entry.load, Optional(0.3));
  EXPECT_THAT(run.entry.extra_jobs_per_query, Optional(0.0));
  EXPECT_EQ(run.entry.refused, std::nullopt);
  // There and back over the network, and nobody is in the way.
  EXPECT_THAT(run.entry.latency_ms.p50, Optional(DoubleNear(22, 0.4)));
}

TEST(LoadRunTest, GivesTheSameFiguresForASeed) {
  PARM_ASSERT_OK_AND_ASSIGN(const LoadRun one,
                            RunLoadScenario(SlowJobs(), Coded(), 7));
  PARM_ASSERT_OK_AND_ASSIGN(const LoadRun again,
                            RunLoadScenario(SlowJobs(), Coded(), 7));
  PARM_ASSERT_OK_AND_ASSIGN(const LoadRun other,
                            RunLoadScenario(SlowJobs(), Coded(), 8));
  EXPECT_EQ(one.num_events, again.num_events);
  EXPECT_EQ(one.virtual_time, again.virtual_time);
  EXPECT_EQ(one.tally.CdfCsv(), again.tally.CdfCsv());
  EXPECT_NE(one.virtual_time, other.virtual_time);
}

TEST(LoadRunTest, ShowsWhatCodingDoesForSlowJobs) {
  PARM_ASSERT_OK_AND_ASSIGN(const LoadRun none,
                            RunLoadScenario(SlowJobs(), None(), 1));
  PARM_ASSERT_OK_AND_ASSIGN(const LoadRun coded,
                            RunLoadScenario(SlowJobs(), Coded(), 1));
  EXPECT_THAT(none.entry.latency_ms.p99_9, Optional(Ge(200.0)));
  EXPECT_THAT(coded.entry.latency_ms.p99_9, Optional(Lt(150.0)));
  EXPECT_GT(coded.entry.answers.reconstructed, kQueries / 100);
  EXPECT_THAT(coded.entry.late_share, Optional(AllOf(Gt(0.01), Lt(0.2))));
  EXPECT_THAT(coded.entry.extra_jobs_per_query,
              Optional(DoubleNear(0.5, 0.01)));
  // 1 + 9 x 1 % service times each.
  EXPECT_THAT(coded.entry.extra_service_per_query,
              Optional(DoubleNear(0.545, 0.03)));
}

TEST(LoadRunTest, ExpectsAccuracyFromMeasuredFigures) {
  LoadScenario scenario = SlowJobs();
  scenario.deployed_accuracy = 0.9;
  PARM_ASSERT_OK_AND_ASSIGN(const LoadRun unknown,
                            RunLoadScenario(scenario, Coded(), 1));
  EXPECT_EQ(unknown.entry.accuracy.delivered, std::nullopt);
  scenario.units = {{.scheme = "sum", .k = 2, .accuracy = 0.8}};
  PARM_ASSERT_OK_AND_ASSIGN(const LoadRun coded,
                            RunLoadScenario(scenario, Coded(), 1));
  const double share =
      static_cast<double>(coded.entry.answers.reconstructed) / kQueries;
  EXPECT_THAT(coded.entry.accuracy.delivered,
              Optional(DoubleNear(0.9 - 0.1 * share, 1e-9)));
  EXPECT_THAT(coded.entry.accuracy.reconstructed, Optional(0.8));
  PARM_ASSERT_OK_AND_ASSIGN(const LoadRun none,
                            RunLoadScenario(scenario, None(), 1));
  EXPECT_THAT(none.entry.accuracy.delivered, Optional(0.9));
  EXPECT_EQ(none.entry.accuracy.reconstructed, std::nullopt);
}

TEST(LoadRunTest, FollowsTheStepsOfTheLoad) {
  LoadScenario scenario = Clean();
  scenario.num_queries = 9000;
  scenario.warm_up = Duration{0};
  // 10 s at 180/s, 10 s at 360/s, the rest at 60/s.
  scenario.load_steps = {{.at = Milliseconds(10'000), .load = 0.6},
                         {.at = Milliseconds(20'000), .load = 0.1}};
  PARM_ASSERT_OK_AND_ASSIGN(const LoadRun run,
                            RunLoadScenario(scenario, None(), 1));
  EXPECT_NEAR(ToSeconds(run.virtual_time), 20 + (9000 - 5400) / 60.0, 4);
}

TEST(LoadRunTest, PausesOneWholeDomainAtATime) {
  LoadScenario scenario = Clean();
  scenario.domain_pause = {.every = Milliseconds(2000),
                           .length = Milliseconds(200)};
  PARM_ASSERT_OK_AND_ASSIGN(const LoadRun run,
                            RunLoadScenario(scenario, None(), 1));
  // A quarter of the workers for a tenth of the time, without those that the
  // dispatcher avoids.
  EXPECT_THAT(run.entry.latency_ms.p90, Optional(Lt(60.0)));
  EXPECT_THAT(run.entry.latency_ms.p99_9,
              Optional(AllOf(Ge(150.0), Le(260.0))));
}

Candidate Hedge() {
  Candidate hedge = None();
  hedge.policy = "hedge";
  hedge.core.models.front().policy = core::PolicyKind::kHedge;
  return hedge;
}

TEST(LoadRunTest, LosesNothingWhenAWorkerDies) {
  LoadScenario scenario = Clean();
  scenario.num_queries = 3000;
  for (uint32_t worker = 0; worker < 12; ++worker) {
    scenario.worker_events.push_back(
        {.kind = WorkerEvent::Kind::kKill,
         .worker = worker,
         .at = Milliseconds(2'000 + 1'000 * worker),
         .length = Milliseconds(500)});
  }
  PARM_ASSERT_OK_AND_ASSIGN(const LoadRun run,
                            RunLoadScenario(scenario, None(), 1));
  EXPECT_EQ(run.entry.answers.exact, 3000);
  // What was at a worker goes elsewhere, a little later.
  EXPECT_THAT(run.entry.latency_ms.max, Optional(Gt(24.0)));
}

TEST(LoadRunTest, AFailingWorkerIsNoSinkhole) {
  LoadScenario scenario = Clean();
  scenario.num_queries = 3000;
  scenario.worker_events = {{.kind = WorkerEvent::Kind::kFailing,
                             .worker = 3,
                             .at = Milliseconds(5'000),
                             .length = Milliseconds(3'000)}};
  PARM_ASSERT_OK_AND_ASSIGN(const LoadRun run,
                            RunLoadScenario(scenario, None(), 1));
  EXPECT_LT(run.entry.answers.error, 30);
}

TEST(LoadRunTest, ASilentWorkerIsSilentForGood) {
  LoadScenario scenario = Clean();
  scenario.num_queries = 3000;
  scenario.worker_events = {{.kind = WorkerEvent::Kind::kSilent,
                             .worker = 3,
                             .at = Milliseconds(5'000),
                             .length = Milliseconds(3'000)}};
  PARM_ASSERT_OK_AND_ASSIGN(const LoadRun none,
                            RunLoadScenario(scenario, None(), 1));
  EXPECT_GT(none.entry.answers.error, 0);
  PARM_ASSERT_OK_AND_ASSIGN(const LoadRun hedged,
                            RunLoadScenario(scenario, Hedge(), 1));
  EXPECT_EQ(hedged.entry.answers.error, 0);
}

TEST(LoadRunTest, CountsQueriesOverMultiplesOfCleanService) {
  LoadScenario scenario = SlowJobs();
  scenario.load = 0.05;
  PARM_ASSERT_OK_AND_ASSIGN(const LoadRun none,
                            RunLoadScenario(scenario, None(), 1));
  // 1 % are slow by a factor of ten; nothing else is late at such a load.
  const TailMass& mass = none.entry.tail_mass;
  EXPECT_THAT(mass.over_2_service, Optional(DoubleNear(0.01, 0.004)));
  EXPECT_THAT(mass.over_5_service, Optional(DoubleNear(0.01, 0.004)));
  EXPECT_LE(*mass.over_5_service, *mass.over_3_service);
  EXPECT_LE(*mass.over_3_service, *mass.over_2_service);
  PARM_ASSERT_OK_AND_ASSIGN(const LoadRun hedged,
                            RunLoadScenario(scenario, Hedge(), 1));
  EXPECT_THAT(hedged.entry.tail_mass.over_3_service, Optional(Lt(0.001)));
}

TEST(LoadRunTest, CountsServiceThatNoAnswerWasMadeOf) {
  PARM_ASSERT_OK_AND_ASSIGN(const LoadRun none,
                            RunLoadScenario(SlowJobs(), None(), 1));
  EXPECT_THAT(none.entry.wasted_service_per_query, Optional(0.0));
  LoadScenario scenario = SlowJobs();
  scenario.load = 0.05;
  PARM_ASSERT_OK_AND_ASSIGN(const LoadRun hedged,
                            RunLoadScenario(scenario, Hedge(), 1));
  // For 1 % of the queries the slow original, ten service times, goes to waste;
  // some of those end a little before the copy, which then does.
  EXPECT_THAT(hedged.entry.wasted_service_per_query,
              Optional(DoubleNear(0.1, 0.06)));
  EXPECT_GT(*hedged.entry.wasted_service_per_query,
            *hedged.entry.extra_service_per_query);
  // Of the parities, one for two queries, few are decoded; of those that are,
  // the original is wasted.
  PARM_ASSERT_OK_AND_ASSIGN(const LoadRun coded,
                            RunLoadScenario(scenario, Coded(), 1));
  EXPECT_THAT(coded.entry.wasted_service_per_query,
              Optional(AllOf(Gt(0.5), Lt(1.0))));
}

TEST(LoadRunTest, ASilentWorkersJobsAreNoService) {
  LoadScenario scenario = Clean();
  scenario.worker_events = {{.kind = WorkerEvent::Kind::kSilent,
                             .worker = 3,
                             .at = Milliseconds(5'000),
                             .length = Milliseconds(3'000)}};
  PARM_ASSERT_OK_AND_ASSIGN(const LoadRun hedged,
                            RunLoadScenario(scenario, Hedge(), 1));
  EXPECT_THAT(hedged.entry.wasted_service_per_query, Optional(Lt(0.1)));
  EXPECT_THAT(hedged.entry.extra_service_per_query, Optional(Lt(0.2)));
}

TEST(LoadRunTest, OffersTheSameLoadInBatchesOfSeveralSizes) {
  LoadScenario scenario = Clean();
  scenario.batch_sizes = {{.samples = 1, .share = 0.75},
                          {.samples = 5, .share = 0.25}};
  PARM_ASSERT_OK_AND_ASSIGN(const LoadRun run,
                            RunLoadScenario(scenario, None(), 1));
  // Twice the work in each query: 0.3 x 12 workers / 40 ms.
  EXPECT_THAT(run.entry.offered_qps, Optional(DoubleNear(90, 4)));
  EXPECT_EQ(run.entry.answers.exact, kQueries);
  EXPECT_THAT(run.entry.latency_ms.p50, Optional(DoubleNear(22, 0.4)));
  EXPECT_THAT(run.entry.latency_ms.p99, Optional(Ge(100.0)));
  // Five samples take five times as long, and are not late for it.
  EXPECT_THAT(run.entry.tail_mass.over_2_service, Optional(Lt(0.02)));
}

TEST(LoadRunTest, LogsEachMeasuredQueryInOrder) {
  PARM_ASSERT_OK_AND_ASSIGN(const LoadRun run,
                            RunLoadScenario(SlowJobs(), Hedge(), 1));
  ASSERT_EQ(run.queries.size(), static_cast<size_t>(kQueries));
  EXPECT_GE(run.queries.front().due, Milliseconds(500));
  int64_t hedged = 0;
  Duration longest{0};
  for (size_t i = 0; i < run.queries.size(); ++i) {
    EXPECT_LE(run.queries[i > 0 ? i - 1 : 0].due, run.queries[i].due);
    if (run.queries[i].outcome == Outcome::kHedged) ++hedged;
    longest = std::max(longest, run.queries[i].latency);
  }
  EXPECT_EQ(hedged, run.entry.answers.hedged);
  EXPECT_EQ(longest, run.tally.latency().max());
}

TEST(LoadRunTest, ReturnsToItsOwnLoadAfterAStep) {
  LoadScenario scenario = Clean();
  scenario.num_queries = 9000;
  scenario.warm_up = Duration{0};
  // 10 s at 180/s, 10 s at 360/s, the rest at 180/s.
  scenario.load_steps = {{.at = Milliseconds(10'000), .load = 0.6},
                         {.at = Milliseconds(20'000)}};
  PARM_ASSERT_OK_AND_ASSIGN(const LoadRun run,
                            RunLoadScenario(scenario, None(), 1));
  EXPECT_NEAR(ToSeconds(run.virtual_time), 20 + (9000 - 5400) / 180.0, 4);
}

TEST(LoadRunTest, SharesThePoolAmongSeveralFrontends) {
  LoadScenario scenario = SlowJobs();
  scenario.load = 0.6;
  PARM_ASSERT_OK_AND_ASSIGN(const LoadRun one,
                            RunLoadScenario(scenario, Hedge(), 1));
  scenario.num_frontends = 4;
  PARM_ASSERT_OK_AND_ASSIGN(const LoadRun four,
                            RunLoadScenario(scenario, Hedge(), 1));
  EXPECT_EQ(four.entry.queries, kQueries);
  EXPECT_EQ(four.entry.answers.error, 0);
  EXPECT_GT(four.entry.answers.hedged, kQueries / 200);
  EXPECT_EQ(four.entry.offered_qps, one.entry.offered_qps);
  // None knows what the others sent where, so workers are chosen worse.
  EXPECT_GT(*four.entry.tail_mass.over_2_service,
            *one.entry.tail_mass.over_2_service);
  EXPECT_GT(*four.entry.extra_jobs_per_query, 0);
  EXPECT_GT(*four.entry.wasted_service_per_query, 0);
}

TEST(LoadRunTest, AllFrontendsLearnOfADeath) {
  LoadScenario scenario = Clean();
  scenario.num_queries = 3000;
  scenario.num_frontends = 3;
  for (uint32_t worker = 0; worker < 12; ++worker) {
    scenario.worker_events.push_back(
        {.kind = WorkerEvent::Kind::kKill,
         .worker = worker,
         .at = Milliseconds(2'000 + 1'000 * worker),
         .length = Milliseconds(500)});
  }
  PARM_ASSERT_OK_AND_ASSIGN(const LoadRun run,
                            RunLoadScenario(scenario, None(), 1));
  EXPECT_EQ(run.entry.answers.exact, 3000);
}

TEST(LoadRunTest, CountsRefusedQueriesAsLate) {
  LoadScenario scenario = Clean();
  scenario.load = 1.5;
  PARM_ASSERT_OK_AND_ASSIGN(const LoadRun run,
                            RunLoadScenario(scenario, None(), 1));
  EXPECT_GT(run.entry.answers.error, 1000);
  EXPECT_EQ(run.entry.answers.lost, 0);
  EXPECT_LT(*run.entry.achieved_qps, 0.9 * *run.entry.offered_qps);
  EXPECT_THAT(run.entry.latency_ms.max, Optional(Ge(500.0)));
}

TEST(LoadRunTest, RunsTenThousandWorkers) {
  LoadScenario scenario = SlowJobs();
  scenario.num_workers = 10'000;
  scenario.num_queries = 2'000;
  scenario.warm_up = Milliseconds(5);
  PARM_ASSERT_OK_AND_ASSIGN(const LoadRun run,
                            RunLoadScenario(scenario, Coded(), 1));
  EXPECT_EQ(run.entry.queries, 2'000);
  EXPECT_EQ(run.entry.answers.error, 0);
  EXPECT_EQ(run.entry.workers, 10'000);
  EXPECT_THAT(run.entry.latency_ms.p50, Optional(DoubleNear(22, 0.4)));
}

TEST(LoadRunTest, RefusesAnImpossibleScenario) {
  LoadScenario scenario = Clean();
  scenario.shuffles = {
      .pairs = 7, .length = Milliseconds(1), .mean_delay = Milliseconds(1)};
  EXPECT_THAT(RunLoadScenario(scenario, None(), 1),
              StatusIs(absl::StatusCode::kInvalidArgument));
  scenario = Clean();
  scenario.num_workers = 2;
  EXPECT_THAT(RunLoadScenario(scenario, Coded(), 1),
              StatusIs(absl::StatusCode::kInvalidArgument));
  scenario = Clean();
  scenario.worker_events = {{.worker = 12, .length = Milliseconds(1)}};
  EXPECT_THAT(RunLoadScenario(scenario, None(), 1),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       ::testing::HasSubstr("no such worker: got 12 of 12")));
  Candidate no_room = None();
  no_room.core.max_queries = 2'000'000'000;
  EXPECT_THAT(RunLoadScenario(Clean(), no_room, 1),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace parm::sim
