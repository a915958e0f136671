#include "experiments/sim/load_scenario.h"

#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/matchers.h"
#include "tests/support/scratch_directory.h"

namespace parm::sim {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr char kShort[] = "name: s\npace: {service: 10ms}\npolicies: [none]\n";

void ExpectRefused(const std::string& more, int line, const std::string& why) {
  SCOPED_TRACE(more);
  EXPECT_THAT(ParseLoadScenario(absl::StrCat(kShort, more), "s.yaml"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(StartsWith(absl::StrCat("s.yaml:", line, ":")),
                             HasSubstr(why))));
}

TEST(LoadScenarioTest, FillsInEveryDefault) {
  PARM_ASSERT_OK_AND_ASSIGN(const LoadScenario scenario,
                            ParseLoadScenario(kShort, "s.yaml"));
  EXPECT_EQ(scenario.name, "s");
  EXPECT_EQ(scenario.num_workers, 24U);
  EXPECT_EQ(scenario.fault_domains, 4U);
  EXPECT_EQ(scenario.pace.service, Milliseconds(10));
  EXPECT_EQ(scenario.pace.per_extra_sample, Milliseconds(10));
  EXPECT_EQ(scenario.load, 0.5);
  EXPECT_EQ(scenario.num_queries, 100'000U);
  EXPECT_EQ(scenario.warm_up, Milliseconds(2000));
  EXPECT_THAT(scenario.policies, ElementsAre("none"));
  EXPECT_EQ(scenario.deployed_accuracy, std::nullopt);
  EXPECT_FALSE(scenario.trace.has_value());
}

TEST(LoadScenarioTest, ResolvesEveryField) {
  PARM_ASSERT_OK_AND_ASSIGN(
      const LoadScenario scenario,
      ParseLoadScenario(absl::StrCat(kShort, R"(workers: 30
fault_domains: 3
network: {min: 1us, max: 2us}
load: 0.3
load_steps: [{at: 1s, load: 0.8}, {at: 2s}]
batch_sizes: [{samples: 1, share: 0.75}, {samples: 5, share: 0.25}]
queries: 7
warmup: 1s
units: [{scheme: sum, k: 2, accuracy: 0.8, cost: 0.5}]
deployed_accuracy: 0.9
faults: [{start: 1s, length: 2s, slow_jobs: {probability: 0.1, factor: 3}}]
roving_slow_mode: {factor: 5, every: 1s, length: 800ms}
shuffles: {pairs: 4, length: 2s, mean_delay: 5ms}
trace: {file: t.csv, series: a, vm_sku: b, dwell: 3s}
domain_pause: {every: 9s, length: 300ms}
)"),
                        "s.yaml"));
  EXPECT_EQ(scenario.num_workers, 30U);
  EXPECT_EQ(scenario.fault_domains, 3U);
  EXPECT_EQ(scenario.network_max, Microseconds(2));
  ASSERT_EQ(scenario.load_steps.size(), 2U);
  EXPECT_EQ(scenario.load_steps[0].load, 0.8);
  EXPECT_EQ(scenario.load_steps[1].load, std::nullopt);
  ASSERT_EQ(scenario.batch_sizes.size(), 2U);
  EXPECT_EQ(scenario.batch_sizes[1].samples, 5U);
  EXPECT_EQ(CleanService(scenario, 5), Milliseconds(50));
  EXPECT_EQ(MeanCleanService(scenario), Milliseconds(20));
  EXPECT_NEAR(RateAtFullLoad(scenario), 1500, 1e-6);
  ASSERT_EQ(scenario.units.size(), 1U);
  EXPECT_EQ(scenario.units[0].accuracy, 0.8);
  EXPECT_EQ(scenario.units[0].cost, 0.5);
  EXPECT_EQ(scenario.deployed_accuracy, 0.9);
  ASSERT_EQ(scenario.faults.size(), 1U);
  EXPECT_EQ(scenario.faults[0].slow_job_factor, 3);
  EXPECT_EQ(scenario.faults[0].length, Milliseconds(2000));
  EXPECT_EQ(scenario.roving_slow_mode->length, Milliseconds(800));
  EXPECT_EQ(scenario.shuffles->mean_delay, Milliseconds(5));
  EXPECT_EQ(scenario.trace->vm_sku, "b");
  EXPECT_EQ(scenario.domain_pause->every, Milliseconds(9000));
}

TEST(LoadScenarioTest, CountsTheQueriesOfAStretchOfTime) {
  LoadScenario scenario{.num_workers = 10,
                        .pace = {.service = Milliseconds(10)},
                        .load = 0.2,
                        .load_steps = {{.at = Milliseconds(3000), .load = 0.5},
                                       {.at = Milliseconds(4000)}}};
  const auto within = [&](int64_t from_ms, int64_t to_ms) {
    return QueriesWithin(scenario, Milliseconds(from_ms), Milliseconds(to_ms));
  };
  EXPECT_NEAR(static_cast<double>(within(0, 2000)), 400, 1);
  EXPECT_NEAR(static_cast<double>(within(2500, 4500)), 100 + 500 + 100, 1);
  EXPECT_NEAR(static_cast<double>(within(5000, 6000)), 200, 1);
  EXPECT_EQ(within(5000, 5000), 1U);
}

TEST(LoadScenarioTest, NamesTheLineOfAnUnknownKey) {
  ExpectRefused("worker: 3\n", 4, "worker");
  ExpectRefused("load: 3\n", 4, "load");
  EXPECT_THAT(ParseLoadScenario("name: s\npolicies: [none]\n", "s.yaml"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("pace")));
}

TEST(LoadScenarioTest, NamesTheLineOfAContradiction) {
  ExpectRefused("network: {min: 2ms, max: 1ms}\n", 4, "min is above max");
  ExpectRefused("load_steps:\n  - {at: 2s, load: 1}\n  - {at: 2s, load: 0.5}\n",
                6, "later than the one before");
  ExpectRefused("batch_sizes: [{samples: 1, share: 0.5}]\n", 4,
                "shares must add up to 1: got 0.5");
  ExpectRefused("batch_sizes:\n  - {samples: 0, share: 1}\n", 5, "samples");
  ExpectRefused("roving_slow_mode: {factor: 2, every: 1s, length: 2s}\n", 4,
                "must not be above its `every`");
  ExpectRefused("roving_slow_mode: {factor: 2, every: 0s, length: 0s}\n", 4,
                "must be above 0");
  ExpectRefused("domain_pause: {every: 1s, length: 2s}\n", 4,
                "must not be above its `every`");
  ExpectRefused("shuffles: {pairs: 1, length: 0s, mean_delay: 1ms}\n", 4,
                "shuffles.length must be above 0");
  ExpectRefused("worker_events:\n  - {what: kill, at: 1s, length: 0s}\n", 5,
                "length must be above 0");
  ExpectRefused("worker_events:\n  - {what: sleep, at: 1s, length: 1s}\n", 5,
                "kill|silent|failing");
  ExpectRefused("frontends: 17\n", 4, "frontends");
  ExpectRefused("trace: {dwell: 0s}\n", 4, "trace.dwell must be above 0");
  EXPECT_THAT(ParseLoadScenario(
                  "name: s\npace: {service: 0s}\npolicies: [none]\n", "s.yaml"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       StartsWith("s.yaml:2: pace.service must be above 0")));
}

TEST(LoadScenarioTest, RefusesFaultsThatItDoesNotSimulate) {
  ExpectRefused("faults:\n  - {drop_probability: 0.1}\n", 5,
                "slow_jobs, slow_mode and reply_delay only");
  ExpectRefused("faults:\n  - {slow_jobs: {probability: 0.1}}\n", 5,
                "slow_jobs needs a factor");
}

TEST(LoadScenarioTest, WantsTwoWorkersForEachShuffle) {
  PARM_ASSERT_OK_AND_ASSIGN(
      LoadScenario scenario,
      ParseLoadScenario(
          absl::StrCat(kShort,
                       "workers: 8\n"
                       "shuffles: {pairs: 4, length: 1s, mean_delay: 1ms}\n"),
          "s.yaml"));
  EXPECT_THAT(CheckWorkers(scenario), IsOk());
  scenario.num_workers = 7;
  EXPECT_THAT(
      CheckWorkers(scenario),
      StatusIs(absl::StatusCode::kInvalidArgument,
               StartsWith("s.yaml:4: workers: got 7, want at least 8")));
}

TEST(LoadScenarioTest, FindsItsTraceBesideItself) {
  const ScratchDirectory scratch;
  std::ofstream(scratch / "t.csv") << "slowdown\n2\n";
  const std::string file = scratch / "s.yaml";
  PARM_ASSERT_OK_AND_ASSIGN(
      LoadScenario scenario,
      ParseLoadScenario(absl::StrCat(kShort, "trace: {file: t.csv}\n"), file));
  EXPECT_THAT(LoadTrace("", &scenario), IsOk());
  EXPECT_THAT(scenario.trace->slowdowns, ElementsAre(2));
  EXPECT_THAT(LoadTrace("/nowhere/t.csv", &scenario),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("s.yaml:4: trace: cannot open /nowhere")));
}

TEST(LoadScenarioTest, SaysThatATraceIsMissingOrUnwanted) {
  PARM_ASSERT_OK_AND_ASSIGN(LoadScenario plain,
                            ParseLoadScenario(kShort, "s.yaml"));
  EXPECT_THAT(LoadTrace("", &plain), IsOk());
  EXPECT_THAT(LoadTrace("t.csv", &plain),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("s.yaml replays no trace")));
  PARM_ASSERT_OK_AND_ASSIGN(
      LoadScenario unnamed,
      ParseLoadScenario(absl::StrCat(kShort, "trace: {}\n"), "s.yaml"));
  EXPECT_THAT(LoadTrace("", &unnamed),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       StartsWith("s.yaml:4: trace: names no file")));
}

TEST(LoadScenarioTest, LeavesTheLoadWhenFaultsAreTakenAway) {
  LoadScenario scenario{.load = 0.3};
  scenario.faults.emplace_back();
  scenario.roving_slow_mode.emplace();
  scenario.shuffles.emplace();
  scenario.trace.emplace();
  scenario.domain_pause.emplace();
  scenario.worker_events.emplace_back();
  const LoadScenario without = WithoutFaults(scenario);
  EXPECT_EQ(without.load, 0.3);
  EXPECT_TRUE(without.faults.empty());
  EXPECT_TRUE(without.worker_events.empty());
  EXPECT_FALSE(without.roving_slow_mode || without.shuffles || without.trace ||
               without.domain_pause);
}

TEST(LoadScenarioTest, SaysThatTheFileCannotBeRead) {
  EXPECT_THAT(ReadLoadScenario("/nowhere/s.yaml"),
              StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace parm::sim
