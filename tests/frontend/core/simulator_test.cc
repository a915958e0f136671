// The core in simulated worlds: every seed draws its own options, workers, load
// and faults, and every check of experiments/sim must hold.
//
// The fast suite runs one long seed and many short ones; with PARM_ALL=1 in the
// environment, 20 seeds of 10^6 queries with 1 % never-returning tasks, 1 %
// duplicates and random deaths.

#include "experiments/sim/simulator.h"

#include <array>
#include <cstdlib>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/time.h"
#include "experiments/sim/scenario.h"
#include "frontend/core/rare_paths.h"
#include "gtest/gtest.h"

namespace parm::sim {
namespace {

constexpr uint64_t kShortSeeds = 140;
constexpr uint64_t kShortQueries = 2'000;

void ExpectHolds(const SimResult& result, uint64_t seed) {
  EXPECT_EQ(result.num_violations, 0U)
      << "seed " << seed << ":\n"
      << absl::StrJoin(result.violations, "\n");
}

SimResult ShortRun(uint64_t seed) {
  return Simulate(DrawScenario(seed, kShortQueries));
}

// Four busy workers, one of which fails everything at once from time to time;
// no other faults, and no redundancy.
Scenario FailingWorkers(uint64_t seed) {
  Scenario scenario;
  scenario.seed = seed;
  scenario.num_queries = 20'000;
  scenario.core.models.push_back({.name = "m"});
  scenario.core.num_workers = 4;
  for (uint32_t i = 0; i < 4; ++i) {
    scenario.workers.push_back(
        {.bundles = {{.bundle = DeployedBundle(0),
                      .model = ModelId{0},
                      .role = core::BundleRole::kDeployed,
                      .deployed = DeployedBundle(0)}},
         .fault_domain = i,
         .max_in_flight = 2});
  }
  scenario.faults = {.never_answered = 0,
                     .duplicate_reply = 0,
                     .slow = 0,
                     .retryable_error = 0,
                     .permanent_error = 0,
                     .undecodable = 0,
                     .not_sent = 0,
                     .abandoned = 0,
                     .mean_between_incidents = Milliseconds(3000),
                     .incidents = {IncidentKind::kFailsAtOnce}};
  scenario.arrivals_per_s = 280;  // of 400
  return scenario;
}

// By seed - 1; computed once.
const std::vector<SimResult>& ShortRuns() {
  static const auto* const runs = [] {
    auto* const results = new std::vector<SimResult>;
    for (uint64_t seed = 1; seed <= kShortSeeds; ++seed) {
      results->push_back(ShortRun(seed));
    }
    return results;
  }();
  return *runs;
}

TEST(SimulatorTest, HundredThousandQueriesHoldEveryCheck) {
  constexpr uint64_t kSeed = 42;
  ExpectHolds(Simulate(DrawScenario(kSeed, 100'000)), kSeed);
}

TEST(SimulatorTest, EveryShortSeedRepeatsEveryAction) {
  std::set<uint64_t> traces;
  for (uint64_t seed = 1; seed <= kShortSeeds; ++seed) {
    const SimResult& first = ShortRuns()[seed - 1];
    const SimResult second = ShortRun(seed);
    EXPECT_EQ(first.trace_hash, second.trace_hash) << "seed " << seed;
    EXPECT_EQ(first.num_actions, second.num_actions) << "seed " << seed;
    traces.insert(first.trace_hash);
  }
  EXPECT_EQ(traces.size(), kShortSeeds) << "two seeds gave the same run";
}

TEST(SimulatorTest, ShortSeedsReachEveryRarePath) {
  std::array<uint64_t, core::kNumRarePaths> hits{};
  for (uint64_t seed = 1; seed <= kShortSeeds; ++seed) {
    const SimResult& result = ShortRuns()[seed - 1];
    ExpectHolds(result, seed);
    for (size_t i = 0; i < hits.size(); ++i) {
      hits[i] +=
          result.counters.rare_paths.hits(static_cast<core::RarePath>(i));
    }
  }
  for (size_t i = 0; i < hits.size(); ++i) {
    EXPECT_GT(hits[i], 0U) << "rare path " << i << " was never taken";
  }
}

TEST(SimulatorTest, ShortSeedsMeetEveryFateOfACopy) {
  core::HedgeCounters sum;
  for (const SimResult& result : ShortRuns()) {
    for (const core::ModelCounters& model : result.counters.models) {
      sum.won += model.hedge.won;
      sum.failed += model.hedge.failed;
      sum.budget_exhausted += model.hedge.budget_exhausted;
      sum.insufficient_workers += model.hedge.insufficient_workers;
      sum.braked += model.hedge.braked;
      sum.observed += model.hedge.observed;
      sum.losers_cancelled += model.hedge.losers_cancelled;
      sum.replicas += model.hedge.replicas;
      sum.shed_for_load += model.hedge.shed_for_load;
      sum.shed_for_budget += model.hedge.shed_for_budget;
    }
  }
  EXPECT_GT(sum.won, 0U);
  EXPECT_GT(sum.failed, 0U);
  EXPECT_GT(sum.budget_exhausted, 0U);
  EXPECT_GT(sum.insufficient_workers, 0U);
  EXPECT_GT(sum.braked, 0U);
  EXPECT_GT(sum.observed, 0U);
  EXPECT_GT(sum.losers_cancelled, 0U);
  EXPECT_GT(sum.replicas, 0U);
  EXPECT_GT(sum.shed_for_load, 0U);
  EXPECT_GT(sum.shed_for_budget, 0U);
}

TEST(SimulatorTest, ShortSeedsEjectForEveryCause) {
  core::EjectionCounters sum;
  for (const SimResult& result : ShortRuns()) {
    const core::EjectionCounters& ejections = result.counters.ejections;
    for (size_t i = 0; i < sum.enforced.size(); ++i) {
      sum.enforced[i] += ejections.enforced[i];
    }
    sum.overflow += ejections.overflow;
    sum.braked += ejections.braked;
    sum.readmitted += ejections.readmitted;
  }
  for (const uint64_t enforced : sum.enforced) EXPECT_GT(enforced, 0U);
  EXPECT_GT(sum.overflow, 0U);
  EXPECT_GT(sum.braked, 0U);
  EXPECT_GT(sum.readmitted, 0U);
}

TEST(SimulatorTest, WorkerThatFailsAtOnceTakesFewTasks) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Scenario scenario = FailingWorkers(seed);
    const SimResult result = Simulate(scenario);
    ExpectHolds(result, seed);
    const core::ModelCounters& model = result.counters.models[0];
    const uint64_t errors =
        model.answers[static_cast<size_t>(core::AnswerSource::kError)];
    EXPECT_GT(errors, 0U) << "seed " << seed << ": nobody failed";
    // A quarter of the time somebody fails, who would take nearly everything.
    EXPECT_LT(errors, scenario.num_queries / 50) << "seed " << seed;
    EXPECT_GT(result.counters.rare_paths.hits(core::RarePath::kBatchWaited),
              scenario.num_queries / 10)
        << "seed " << seed << ": there must be a line";
  }
}

// The time that experiments/sim/README.md states.
TEST(SimulatorTest, AllIsBackSoonAfterTheFaults) {
  for (uint64_t seed = 1; seed <= kShortSeeds; ++seed) {
    EXPECT_LE(RecoveryBound(DrawScenario(seed, 1)), Milliseconds(4100))
        << "seed " << seed;
  }
}

TEST(SimulatorTest, SeedsDrawTheirOwnFaultRates) {
  std::set<double> rates;
  for (uint64_t seed = 1; seed <= kShortSeeds; ++seed) {
    rates.insert(DrawScenario(seed, 1).faults.never_answered);
  }
  EXPECT_GT(rates.size(), kShortSeeds / 2);
  EXPECT_EQ(rates.count(0), 1U) << "no seed loses nothing";
}

TEST(SimulatorTest, MillionsOfQueriesHoldEveryCheck) {
  if (std::getenv("PARM_ALL") == nullptr) {
    GTEST_SKIP() << "set PARM_ALL=1 for 20 seeds of 10^6 queries";
  }
  for (uint64_t seed = 1001; seed <= 1020; ++seed) {
    Scenario scenario = DrawScenario(seed, 1'000'000);
    scenario.faults.never_answered = 0.01;
    scenario.faults.duplicate_reply = 0.01;
    if (scenario.faults.mean_between_incidents == Duration{0}) {
      scenario.faults.mean_between_incidents = Milliseconds(2000);
    }
    ExpectHolds(Simulate(scenario), seed);
  }
}

}  // namespace
}  // namespace parm::sim
