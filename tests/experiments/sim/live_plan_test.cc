#include "experiments/sim/live_plan.h"

#include <array>
#include <cmath>
#include <fstream>
#include <string>
#include <vector>

#include "backends/faults.h"
#include "experiments/sim/draws.h"
#include "experiments/sim/job_plans.h"
#include "experiments/sim/joint_faults.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/duration.h"
#include "simdjson.h"
#include "tests/support/matchers.h"
#include "tests/support/scratch_directory.h"

namespace parm::sim {
namespace {

constexpr uint64_t kSeed = 3;
constexpr uint32_t kWorkers = 6;
constexpr char kCoded[] =
    "workers: [{endpoint: \"tcp://127.0.0.1:7001\"}]\n"
    "models:\n"
    "  - {name: m, deadline: 400ms,\n"
    "     redundancy: {policy: coded, code: {scheme: sum, k: 2}}}\n";

class LivePlanTest : public ::testing::Test {
 protected:
  LivePlanTest() {
    const std::string path = scratch_ / "mine.yaml";
    std::ofstream(path) << kCoded;
    candidate_ = ReadCandidate(path);
  }

  static LoadScenario Scenario20ms() {
    return {.name = "s",
            .file = "s.yaml",
            .num_workers = kWorkers,
            .fault_domains = 3,
            .pace = {.service = Milliseconds(20),
                     .per_extra_sample = Milliseconds(20)},
            .load = 0.5};
  }

  simdjson::dom::element Plan(const LoadScenario& scenario) {
    const auto json =
        LivePlanJson(scenario, {*candidate_}, kSeed, Milliseconds(60'000));
    EXPECT_THAT(json, IsOk());
    return parser_.parse(json.value_or("{}"));
  }

  absl::StatusOr<Candidate> candidate_;

 private:
  ScratchDirectory scratch_;
  simdjson::dom::parser parser_;
};

Duration SpanOf(simdjson::dom::element text) {
  return *ParseDuration(std::string(text.get_string().value()));
}

// What the planned windows of a slow mode make of a job that begins at `at`.
double PlannedFactor(simdjson::dom::element worker, Duration at) {
  double factor = 1;
  for (const auto event : worker["events"].get_array()) {
    const Duration start = SpanOf(event["start"]);
    if (at < start || at >= start + SpanOf(event["length"])) continue;
    factor *= event["slow_mode"]["factor"].get_double().value();
  }
  return factor;
}

TEST_F(LivePlanTest, SlowsWorkersWhenTheSimulationDoes) {
  LoadScenario scenario = Scenario20ms();
  scenario.roving_slow_mode = {
      .factor = 5, .every = Milliseconds(1000), .length = Milliseconds(800)};
  scenario.trace =
      TraceReplay{.dwell = Milliseconds(7000), .slowdowns = {1, 1.5, 3}};
  const auto plan = Plan(scenario);
  const Draws draws(kSeed);
  JobPlans simulated(scenario, draws, kSeed, /*parity_cost=*/1);
  int num_slow = 0;
  for (uint32_t worker = 0; worker < kWorkers; ++worker) {
    for (int ms = 0; ms < 60'000; ms += 100) {
      const Duration at = Milliseconds(ms);
      const Duration service =
          simulated.Plan(Time{} + at, worker, {.work = 1, .luck = 1}).service;
      const double factor = PlannedFactor(plan["workers"].at(worker), at);
      ASSERT_NEAR(ToSeconds(service), 0.02 * factor, 1e-6)
          << "worker " << worker << " at " << ms << " ms";
      num_slow += factor > 1 ? 1 : 0;
    }
  }
  EXPECT_GT(num_slow, 100);
}

TEST_F(LivePlanTest, DelaysRepliesOfThoseThatShuffleInTheSimulation) {
  LoadScenario scenario = Scenario20ms();
  scenario.shuffles = {
      .pairs = 2, .length = Milliseconds(2000), .mean_delay = Milliseconds(5)};
  const auto plan = Plan(scenario);
  const Draws draws(kSeed);
  int num_delayed = 0;
  for (uint32_t worker = 0; worker < kWorkers; ++worker) {
    for (int ms = 50; ms < 60'000; ms += 100) {
      const Duration at = Milliseconds(ms);
      double mean_s = 0;
      for (const auto event :
           plan["workers"].at(worker)["events"].get_array()) {
        const Duration start = SpanOf(event["start"]);
        if (at < start || at >= start + SpanOf(event["length"])) continue;
        const auto delay = event["reply_delay"];
        mean_s += delay["probability"].get_double().value() *
                  ToSeconds(SpanOf(delay["delay"]));
      }
      const bool delayed = IsShuffling(scenario, draws, at, worker);
      ASSERT_NEAR(mean_s, delayed ? 0.005 : 0, 1e-4)
          << "worker " << worker << " at " << ms << " ms";
      num_delayed += delayed ? 1 : 0;
    }
  }
  EXPECT_GT(num_delayed, 100);
}

TEST_F(LivePlanTest, PlannedDelaysAddUpToAnExponentialOne) {
  LoadScenario scenario = Scenario20ms();
  scenario.shuffles = {
      .pairs = 3, .length = Milliseconds(1'000), .mean_delay = Milliseconds(5)};
  const auto plan = Plan(scenario);
  std::vector<FaultWindow> windows;
  for (const auto event : plan["workers"].at(0)["events"].get_array()) {
    // Those of the first stretch.
    windows.push_back(
        {.reply_delay_probability =
             event["reply_delay"]["probability"].get_double().value(),
         .reply_delay = SpanOf(event["reply_delay"]["delay"])});
    if (windows.size() == 10) break;
  }
  ASSERT_EQ(windows.size(), 10U);
  const Faults faults(windows, KeyedDraws(kSeed, "worker0"));
  constexpr int kDraws = 40'000;
  std::array<int, 5> above{};
  for (uint64_t i = 0; i < kDraws; ++i) {
    const Duration delay = faults.Plan(Luck{i}, Duration{0}).reply_delay;
    for (size_t means = 0; means < above.size(); ++means) {
      if (delay > Milliseconds(5) * static_cast<int64_t>(means)) ++above[means];
    }
  }
  for (size_t means = 1; means < above.size(); ++means) {
    EXPECT_NEAR(static_cast<double>(above[means]) / kDraws,
                std::exp(-static_cast<double>(means)), 0.01);
  }
}

TEST_F(LivePlanTest, PausesWholeFaultDomains) {
  LoadScenario scenario = Scenario20ms();
  scenario.domain_pause = {.every = Milliseconds(10'000),
                           .length = Milliseconds(300)};
  const auto pauses = Plan(scenario)["pauses"].get_array().value();
  ASSERT_EQ(pauses.size(), 6U);
  for (const auto pause : pauses) {
    EXPECT_EQ(pause["length_s"].get_double().value(), 0.3);
    const auto workers = pause["workers"].get_array().value();
    ASSERT_EQ(workers.size(), 2U);
    EXPECT_EQ(workers.at(1).get_uint64().value(),
              workers.at(0).get_uint64().value() + 3);
  }
}

TEST_F(LivePlanTest, SharesWorkersOutAsSimulated) {
  LoadScenario scenario = Scenario20ms();
  scenario.faults = {{.slow_job_probability = 0.25, .slow_job_factor = 10}};
  const auto plan = Plan(scenario);
  EXPECT_EQ(plan["rate_qps"].get_double().value(), 150);
  const auto candidate = plan["candidates"].at(0);
  EXPECT_EQ(candidate["policy"].get_string().value(), "mine");
  EXPECT_EQ(candidate["deadline_ms"].get_double().value(), 400);
  EXPECT_EQ(candidate["code"]["k"].get_int64().value(), 2);
  int num_parity = 0;
  for (const auto role : candidate["roles"].get_array()) {
    num_parity += role.get_string().value() == "parity" ? 1 : 0;
  }
  EXPECT_EQ(num_parity, 2);
  const auto event = plan["workers"].at(4)["events"].at(0);
  EXPECT_EQ(event["slow_jobs"]["probability"].get_double().value(), 0.25);
  // For ever.
  EXPECT_TRUE(event["length"].error() != simdjson::SUCCESS);
}

TEST_F(LivePlanTest, KeepsTheLoadOfMixedBatches) {
  LoadScenario scenario = Scenario20ms();
  scenario.pace.per_extra_sample = Milliseconds(10);
  scenario.batch_sizes = {{.samples = 1, .share = 0.75},
                          {.samples = 5, .share = 0.25}};
  const simdjson::dom::element plan = Plan(scenario);
  // 30 ms each on average.
  EXPECT_DOUBLE_EQ(plan["rate_qps"].get_double().value(), 100);
  const auto size = plan["batch_sizes"].at(1);
  EXPECT_EQ(size["samples"].get_uint64().value(), 5);
  EXPECT_EQ(size["share"].get_double().value(), 0.25);
}

TEST_F(LivePlanTest, NamesStepsEventsAndFrontends) {
  LoadScenario scenario = Scenario20ms();
  scenario.num_frontends = 4;
  scenario.load_steps = {{.at = Milliseconds(10'000), .load = 1.2}};
  scenario.worker_events = {{.kind = WorkerEvent::Kind::kSilent,
                             .worker = 2,
                             .at = Milliseconds(3000),
                             .length = Milliseconds(4000)},
                            {.kind = WorkerEvent::Kind::kKill,
                             .worker = 1,
                             .at = Milliseconds(1000),
                             .length = Milliseconds(500)}};
  const simdjson::dom::element plan = Plan(scenario);
  EXPECT_EQ(plan["frontends"].get_uint64().value(), 4);
  const auto step = plan["rate_steps"].at(0);
  EXPECT_EQ(step["at_s"].get_double().value(), 10);
  EXPECT_DOUBLE_EQ(step["rate_qps"].get_double().value(), 360);
  const auto kill = plan["worker_events"].at(1);
  EXPECT_EQ(kill["what"].get_string().value(), "kill");
  EXPECT_EQ(kill["worker"].get_uint64().value(), 1);
  EXPECT_EQ(kill["at_s"].get_double().value(), 1);
  EXPECT_EQ(kill["length_s"].get_double().value(), 0.5);
  // What the worker does itself is in its faults, as the simulation has it.
  EXPECT_EQ(PlannedFactor(plan["workers"].at(2), Milliseconds(3000)),
            kSilentFactor);
  EXPECT_EQ(PlannedFactor(plan["workers"].at(2), Milliseconds(7000)), 1);
  EXPECT_EQ(PlannedFactor(plan["workers"].at(1), Milliseconds(3000)), 1);
}

}  // namespace
}  // namespace parm::sim
