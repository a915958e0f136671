// The core in simulated worlds: every seed draws its own options, workers, load
// and faults, and every check of experiments/sim must hold.
//
// The fast suite runs one long seed and many short ones; with PARM_ALL=1 in the
// environment, 20 seeds of 10^6 queries with 1 % never-returning tasks, 1 %
// duplicates and random deaths.

#include "experiments/sim/simulator.h"

#include <array>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "experiments/sim/scenario.h"
#include "frontend/core/rare_paths.h"
#include "gtest/gtest.h"

namespace parm::sim {
namespace {

void ExpectHolds(const SimResult& result, uint64_t seed) {
  EXPECT_EQ(result.num_violations, 0U)
      << "seed " << seed << ":\n"
      << absl::StrJoin(result.violations, "\n");
}

TEST(SimulatorTest, HundredThousandQueriesHoldEveryCheck) {
  constexpr uint64_t kSeed = 42;
  ExpectHolds(Simulate(DrawScenario(kSeed, 100'000)), kSeed);
}

TEST(SimulatorTest, SameSeedRepeatsEveryAction) {
  const SimResult first = Simulate(DrawScenario(7, 5'000));
  const SimResult second = Simulate(DrawScenario(7, 5'000));
  EXPECT_EQ(first.trace_hash, second.trace_hash);
  EXPECT_EQ(first.num_actions, second.num_actions);
  EXPECT_NE(first.trace_hash, Simulate(DrawScenario(8, 5'000)).trace_hash);
}

TEST(SimulatorTest, ShortSeedsReachEveryRarePath) {
  std::array<uint64_t, core::kNumRarePaths> hits{};
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    const SimResult result = Simulate(DrawScenario(seed, 2'000));
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

TEST(SimulatorTest, MillionsOfQueriesHoldEveryCheck) {
  if (std::getenv("PARM_ALL") == nullptr) {
    GTEST_SKIP() << "set PARM_ALL=1 for 20 seeds of 10^6 queries";
  }
  for (uint64_t seed = 1001; seed <= 1020; ++seed) {
    ExpectHolds(Simulate(DrawScenario(seed, 1'000'000)), seed);
  }
}

}  // namespace
}  // namespace parm::sim
