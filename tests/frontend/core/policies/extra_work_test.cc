// What extra work really takes of the workers, as the simulator's workers know
// it, against the budget as docs/policies/hedge.md defines it: over seeds,
// loads, and laws of service times with heavy tails.

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "encoder/code.h"
#include "experiments/sim/load_run.h"
#include "frontend/core/policies/work_budget.h"
#include "gtest/gtest.h"
#include "tests/support/matchers.h"

namespace parm::sim {
namespace {

constexpr Duration kService = Milliseconds(20);
constexpr uint32_t kWorkers = 24;

struct Law {
  std::string name;
  double slow_probability = 0;
  double slow_factor = 1;
  std::optional<RovingSlowMode> slow_mode;
  // Of a parity query, which the configuration takes to be 1.
  double parity_cost = 1;

  double mean() const { return 1 + slow_probability * (slow_factor - 1); }
};

std::vector<Law> Laws() {
  return {
      {.name = "8 % slow", .slow_probability = 0.08, .slow_factor = 10},
      {.name = "2 % very slow", .slow_probability = 0.02, .slow_factor = 20},
      {.name = "slow mode",
       .slow_mode = RovingSlowMode{.factor = 5,
                                   .every = Milliseconds(1000),
                                   .length = Milliseconds(800)}},
      {.name = "dear parity", .parity_cost = 2.5}};
}

LoadScenario ScenarioOf(const Law& law, double load) {
  LoadScenario scenario = {.name = law.name,
                           .file = "s.yaml",
                           .num_workers = kWorkers,
                           .pace = {.service = kService,
                                    .spread = 0.05,
                                    .per_extra_sample = kService},
                           .load = load,
                           .num_queries = 8'000,
                           .warm_up = Duration{0}};
  scenario.units = {{.scheme = "tile", .k = 4, .cost = law.parity_cost}};
  if (law.slow_probability > 0) {
    scenario.faults = {{.slow_job_probability = law.slow_probability,
                        .slow_job_factor = law.slow_factor}};
  }
  scenario.roving_slow_mode = law.slow_mode;
  return scenario;
}

Candidate CandidateOf(core::PolicyKind policy, double share) {
  Candidate candidate{.policy = "p", .max_in_flight = 16};
  core::ModelOptions model{.name = "m", .policy = policy};
  if (policy == core::PolicyKind::kHybrid) {
    model.code = CreateCode({.scheme = "tile", .k = 4}).value();
    model.hybrid.max_extra_load = share;
  }
  model.hedge.budget.max_extra_load = std::min(share, 0.1);
  model.hedge.quantile = 0.8;  // eager, so that the budget decides
  candidate.core.models.push_back(model);
  return candidate;
}

// In mean services: what may be spent beside the share.
double Allowance(const LoadRun& run, const core::BudgetOptions& budget) {
  return budget.min_per_second * ToSeconds(run.virtual_time) + 1 + budget.burst;
}

// Runs everything and returns how near the spendings came to their bound.
double NearestToBound(core::PolicyKind policy, double share) {
  double nearest = 0;
  for (const Law& law : Laws()) {
    for (const double load : {0.1, 0.4}) {
      for (uint64_t seed = 1; seed <= 2; ++seed) {
        SCOPED_TRACE(absl::StrCat(law.name, " load=", load, " seed=", seed));
        const Candidate candidate = CandidateOf(policy, share);
        const absl::StatusOr<LoadRun> run =
            RunLoadScenario(ScenarioOf(law, load), candidate, seed);
        if (!run.ok()) {
          ADD_FAILURE() << run.status();
          continue;
        }
        const double mean_s = law.mean() * ToSeconds(kService);
        const double slowest =
            std::max(law.slow_factor,
                     law.slow_mode ? law.slow_mode->factor : law.parity_cost);
        // Copies that are out may all turn out slow at once: a quarter of them.
        const double out_s = kWorkers / 4.0 * slowest * ToSeconds(kService);
        const double bound =
            share * ToSeconds(run->ordinary_service) +
            Allowance(*run, candidate.model().hedge.budget) * mean_s + out_s;
        const double spent = ToSeconds(run->extra_service);
        EXPECT_LE(spent, bound);
        EXPECT_GT(spent, 0);
        nearest = std::max(nearest, spent / bound);
      }
    }
  }
  return nearest;
}

TEST(ExtraWorkTest, HedgesKeepToTheirShareOfService) {
  EXPECT_GT(NearestToBound(core::PolicyKind::kHedge, 0.05), 0.5)
      << "the budget never decided";
}

TEST(ExtraWorkTest, ParityAndCopiesKeepToTheirShareOfService) {
  EXPECT_GT(NearestToBound(core::PolicyKind::kHybrid, 0.25), 0.7)
      << "the budget never decided";
}

TEST(ExtraWorkTest, FullShareOfHybridIsNotExceeded) {
  EXPECT_GT(NearestToBound(core::PolicyKind::kHybrid, 1), 0.7)
      << "the budget never decided";
}

}  // namespace
}  // namespace parm::sim
