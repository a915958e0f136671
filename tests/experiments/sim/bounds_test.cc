#include "experiments/sim/bounds.h"

#include <string>

#include "absl/status/status.h"
#include "encoder/code.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/matchers.h"

namespace parm::sim {
namespace {

using ::testing::DoubleNear;
using ::testing::Ge;
using ::testing::Lt;
using ::testing::Optional;

LoadScenario SlowJobs() {
  return {.name = "slow",
          .file = "s.yaml",
          .num_workers = 12,
          .pace = {.service = Milliseconds(20),
                   .spread = 0.05,
                   .per_extra_sample = Milliseconds(20)},
          .load = 0.3,
          .num_queries = 8'000,
          .warm_up = Milliseconds(500),
          .deployed_accuracy = 0.9,
          .faults = {{.slow_job_probability = 0.08, .slow_job_factor = 10}}};
}

Candidate Called(absl::string_view policy) {
  Candidate candidate{.policy = std::string(policy)};
  candidate.core.models.push_back({.name = "m"});
  return candidate;
}

Candidate Replicate() {
  Candidate replicate = Called("replicate");
  replicate.core.models.front().policy = core::PolicyKind::kReplicate;
  return replicate;
}

RunEntry Bound(const LoadScenario& scenario, absl::string_view policy) {
  absl::StatusOr<LoadRun> run = RunBound(scenario, Called(policy), 1);
  EXPECT_THAT(run.status(), IsOk());
  return run.ok() ? run->entry : RunEntry{};
}

TEST(BoundsTest, NoPolicyIsBelowThem) {
  for (const double load : {0.05, 0.3, 0.7}) {
    SCOPED_TRACE(load);
    LoadScenario scenario = SlowJobs();
    scenario.load = load;
    const RunEntry oracle = Bound(scenario, kOracle);
    const RunEntry infinite = Bound(scenario, kInfiniteServers);
    for (const Candidate& candidate : {Called("none"), Replicate()}) {
      PARM_ASSERT_OK_AND_ASSIGN(const LoadRun run,
                                RunLoadScenario(scenario, candidate, 1));
      const LatencyFigures& real = run.entry.latency_ms;
      EXPECT_LT(*oracle.latency_ms.p50, *real.p50);
      EXPECT_LT(*oracle.latency_ms.p99_9, *real.p99_9);
      EXPECT_LT(*infinite.latency_ms.p50, *real.p50);
      EXPECT_LT(*infinite.latency_ms.p99_9, *real.p99_9);
    }
  }
}

TEST(BoundsTest, OracleMeetsNoSlowJobButWaitsForAWorker) {
  LoadScenario scenario = SlowJobs();
  EXPECT_THAT(Bound(scenario, kOracle).latency_ms.max, Optional(Lt(25.0)));
  scenario.load = 0.9;
  const RunEntry busy = Bound(scenario, kOracle);
  EXPECT_THAT(busy.latency_ms.p99_9, Optional(Ge(30.0)));
  // Nobody waits where servers never run out.
  EXPECT_THAT(Bound(scenario, kInfiniteServers).latency_ms.max,
              Optional(Lt(25.0)));
}

TEST(BoundsTest, NeitherAvoidsWhatHoldsAtAllWorkers) {
  LoadScenario scenario = SlowJobs();
  scenario.faults.push_back({.slow_mode_factor = 2});
  for (const absl::string_view policy : {kOracle, kInfiniteServers}) {
    EXPECT_THAT(Bound(scenario, policy).latency_ms.p50, Optional(Ge(34.0)));
  }
}

TEST(BoundsTest, LeavesUnansweredWhatNoWorkerCanTakeInTime) {
  LoadScenario scenario = SlowJobs();
  scenario.load = 1.5;
  const RunEntry oracle = Bound(scenario, kOracle);
  EXPECT_GT(oracle.answers.error, 500);
  EXPECT_THAT(oracle.latency_ms.max, Optional(DoubleNear(500, 1e-6)));
  // What it does answer is what the workers can do.
  EXPECT_THAT(oracle.achieved_qps, Optional(DoubleNear(600, 60)));
  EXPECT_EQ(Bound(scenario, kInfiniteServers).answers.error, 0);
}

TEST(BoundsTest, CostsWhatOneCopyOfEachQueryCosts) {
  const RunEntry oracle = Bound(SlowJobs(), kOracle);
  EXPECT_EQ(oracle.policy, "oracle");
  EXPECT_EQ(oracle.answers.exact, 8'000);
  EXPECT_THAT(oracle.accuracy.delivered, Optional(0.9));
  EXPECT_THAT(oracle.extra_jobs_per_query, Optional(0.0));
  EXPECT_THAT(oracle.wasted_service_per_query, Optional(0.0));
  // Copies without number have no cost that could be compared.
  EXPECT_EQ(Bound(SlowJobs(), kInfiniteServers).extra_jobs_per_query,
            std::nullopt);
}

TEST(BoundsTest, RefusesAnotherName) {
  EXPECT_THAT(RunBound(SlowJobs(), Called("hedge"), 1),
              StatusIs(absl::StatusCode::kInvalidArgument));
  LoadScenario scenario = SlowJobs();
  scenario.worker_events = {{.worker = 12, .length = Milliseconds(1)}};
  EXPECT_THAT(RunBound(scenario, Called(kOracle), 1),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace parm::sim
