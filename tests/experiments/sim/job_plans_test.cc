#include "experiments/sim/job_plans.h"

#include <set>

#include "gtest/gtest.h"

namespace parm::sim {
namespace {

constexpr uint32_t kWorkers = 10;

LoadScenario Scenario20ms() {
  return {.num_workers = kWorkers,
          .pace = {.service = Milliseconds(20),
                   .per_extra_sample = Milliseconds(20)}};
}

SimTask TaskOf(uint64_t luck) { return {.work = 1, .luck = luck}; }

TEST(JobPlansTest, GivesTheSameLuckWhateverCameBefore) {
  LoadScenario scenario = Scenario20ms();
  scenario.pace.spread = 0.05;
  scenario.faults = {{.slow_job_probability = 0.1, .slow_job_factor = 10}};
  const Draws draws(1);
  JobPlans one(scenario, draws, 1, 1);
  JobPlans other(scenario, draws, 1, 1);
  other.Plan(Time{}, 3, TaskOf(99));
  int slow = 0;
  for (uint64_t luck = 1; luck <= 5000; ++luck) {
    const JobPlan plan = one.Plan(Time{}, 3, TaskOf(luck));
    EXPECT_EQ(plan.service, other.Plan(Time{}, 3, TaskOf(luck)).service);
    if (plan.service > Milliseconds(100)) ++slow;
  }
  EXPECT_NEAR(slow, 500, 80);
}

TEST(JobPlansTest, DrawsServiceTimesThatWereRecorded) {
  LoadScenario scenario = Scenario20ms();
  scenario.recorded = RecordedService{{0.010, 0.010, 0.010, 0.050}};
  const Draws draws(1);
  JobPlans plans(scenario, draws, 1, 1);
  int slow = 0;
  for (uint64_t luck = 1; luck <= 4000; ++luck) {
    const Duration service = plans.Plan(Time{}, 3, TaskOf(luck)).service;
    if (service == Milliseconds(50)) {
      ++slow;
    } else {
      EXPECT_EQ(service, Milliseconds(10));
    }
  }
  EXPECT_NEAR(slow, 1000, 100);
  SimTask two = TaskOf(1);
  two.work = 2;
  EXPECT_EQ(plans.Plan(Time{}, 3, two).service,
            2 * plans.Plan(Time{}, 3, TaskOf(1)).service);
}

TEST(JobPlansTest, KeepsARecordedTimeForItsDwell) {
  LoadScenario scenario = Scenario20ms();
  scenario.recorded =
      RecordedService{{0.010, 0.020, 0.030, 0.040}, Milliseconds(1000)};
  const Draws draws(1);
  JobPlans plans(scenario, draws, 1, 1);
  std::set<Duration> seen;
  for (int second = 0; second < 50; ++second) {
    // Worker 0 draws anew at whole seconds.
    const Time at = Time{} + Milliseconds(1000 * second);
    const Duration first = plans.Plan(at, 0, TaskOf(1)).service;
    EXPECT_EQ(plans.Plan(at + Milliseconds(999), 0, TaskOf(2)).service, first);
    seen.insert(first);
  }
  EXPECT_EQ(seen.size(), 4);
}

TEST(JobPlansTest, KeepsOneWorkerSlowAtATime) {
  LoadScenario scenario = Scenario20ms();
  scenario.roving_slow_mode = {
      .factor = 5, .every = Milliseconds(1000), .length = Milliseconds(800)};
  const Draws draws(1);
  JobPlans plans(scenario, draws, 1, 1);
  std::set<uint32_t> seen;
  for (int second = 0; second < 50; ++second) {
    for (const int ms : {0, 799, 800}) {
      int slow = 0;
      for (uint32_t worker = 0; worker < kWorkers; ++worker) {
        const Time at = Time{} + Milliseconds(1000 * second + ms);
        if (plans.Plan(at, worker, TaskOf(1)).service == Milliseconds(100)) {
          ++slow;
          seen.insert(worker);
        }
      }
      EXPECT_EQ(slow, ms < 800 ? 1 : 0) << second << " s " << ms << " ms";
    }
  }
  EXPECT_EQ(seen.size(), kWorkers);
}

TEST(JobPlansTest, DelaysRepliesOfThoseThatShuffle) {
  LoadScenario scenario = Scenario20ms();
  scenario.shuffles = {
      .pairs = 2, .length = Milliseconds(1000), .mean_delay = Milliseconds(5)};
  const Draws draws(1);
  JobPlans plans(scenario, draws, 1, 1);
  double delay_s = 0;
  int delayed = 0;
  for (int ms = 0; ms < 20'000; ms += 100) {
    int now = 0;
    for (uint32_t worker = 0; worker < kWorkers; ++worker) {
      const JobPlan plan =
          plans.Plan(Time{} + Milliseconds(ms), worker,
                     TaskOf(static_cast<uint64_t>(ms) + worker + 1));
      EXPECT_EQ(plan.service, Milliseconds(20));
      if (plan.reply_delay > Duration{0}) ++now;
      delay_s += ToSeconds(plan.reply_delay);
    }
    // Two pairs, that may share a worker.
    EXPECT_GE(now, 2);
    EXPECT_LE(now, 4);
    delayed += now;
  }
  EXPECT_NEAR(delay_s / delayed, 0.005, 0.001);
}

TEST(JobPlansTest, SlowsWorkersByTheTracesRecords) {
  LoadScenario scenario = Scenario20ms();
  scenario.trace =
      TraceReplay{.dwell = Milliseconds(10'000), .slowdowns = {0.5, 1, 3}};
  const Draws draws(1);
  JobPlans plans(scenario, draws, 1, 1);
  std::multiset<Duration> services;
  for (int period = 0; period < 300; ++period) {
    const Time begin = Time{} + Milliseconds(10'000 * period);
    const Duration early = plans.Plan(begin, 4, TaskOf(1)).service;
    EXPECT_EQ(early,
              plans.Plan(begin + Milliseconds(9999), 4, TaskOf(2)).service);
    services.insert(early);
  }
  for (const int ms : {10, 20, 60}) {
    EXPECT_NEAR(static_cast<double>(services.count(Milliseconds(ms))), 100, 40);
  }
}

TEST(JobPlansTest, CountsServiceByKindOfTask) {
  const LoadScenario scenario = Scenario20ms();
  const Draws draws(1);
  JobPlans plans(scenario, draws, 1, /*parity_cost=*/0.5);
  SimTask task = TaskOf(1);
  plans.Plan(Time{}, 0, task);
  task.attempt = core::AttemptType::kParity;
  EXPECT_EQ(plans.Plan(Time{}, 0, task).service, Milliseconds(10));
  task.attempt = core::AttemptType::kHedge;
  task.work = 2;
  EXPECT_EQ(plans.Plan(Time{}, 0, task).service, Milliseconds(40));
  EXPECT_EQ(plans.totals().ordinary, Milliseconds(20));
  EXPECT_EQ(plans.totals().extra, Milliseconds(50));
}

}  // namespace
}  // namespace parm::sim
