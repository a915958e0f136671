#include "experiments/sim/job_plans.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "backends/pacing.h"
#include "frontend/core/action.h"

namespace parm::sim {

namespace {

// What a draw is for, besides the period and worker.
enum Use : uint64_t { kRoving = 1, kPair, kPartner, kReplyDelay, kRecord };

constexpr uint64_t KeyOf(uint64_t period, uint64_t part) {
  return Draws::Mix(period) ^ part;
}

}  // namespace

JobPlans::JobPlans(const LoadScenario& scenario, const Draws& draws,
                   uint64_t seed, double parity_cost)
    : scenario_(scenario), draws_(draws), parity_cost_(parity_cost) {
  for (uint32_t i = 0; i < scenario.num_workers; ++i) {
    const KeyedDraws keyed(seed, absl::StrCat("worker", i));
    workers_.push_back(
        {.draws = keyed, .faults = Faults(scenario.faults, keyed)});
  }
}

double JobPlans::SlowFactor(Duration now, uint32_t worker) const {
  double factor = 1;
  if (const auto& mode = scenario_.roving_slow_mode) {
    const auto period = static_cast<uint64_t>(now / mode->every);
    if (now % mode->every < mode->length &&
        draws_.Bits(Purpose::kFault, period, kRoving) % scenario_.num_workers ==
            worker) {
      factor *= mode->factor;
    }
  }
  if (const auto& trace = scenario_.trace) {
    const auto period = static_cast<uint64_t>(now / trace->dwell);
    const uint64_t record =
        draws_.Bits(Purpose::kFault, KeyOf(period, worker), kRecord);
    factor *= trace->slowdowns[record % trace->slowdowns.size()];
  }
  return factor;
}

bool JobPlans::Shuffles(Duration now, uint32_t worker) const {
  const uint64_t n = scenario_.num_workers;
  const uint32_t num_pairs = scenario_.shuffles->pairs;
  const Duration length = scenario_.shuffles->length;
  for (uint32_t pair = 0; pair < num_pairs; ++pair) {
    // They end one after the other, not all at once.
    const Duration shifted = now + length * pair / num_pairs;
    const uint64_t key = KeyOf(static_cast<uint64_t>(shifted / length), pair);
    const uint64_t one = draws_.Bits(Purpose::kFault, key, kPair) % n;
    const uint64_t other =
        (one + 1 + draws_.Bits(Purpose::kFault, key, kPartner) % (n - 1)) % n;
    if (worker == one || worker == other) return true;
  }
  return false;
}

JobPlan JobPlans::Plan(Time begin, uint32_t worker, const SimTask& task) {
  const Duration now = begin - Time{};
  const Luck luck{task.luck};
  const WorkerDraws& at = workers_[worker];
  const FaultPlan fault = at.faults.Plan(luck, now);
  double factor = fault.slow_factor * SlowFactor(now, worker);
  if (task.attempt == core::AttemptType::kParity) factor *= parity_cost_;
  JobPlan plan;
  plan.service =
      FromSeconds(factor * ToSeconds(DrawServiceTime(scenario_.pace, at.draws,
                                                     luck, task.work)));
  plan.reply_delay = fault.reply_delay;
  if (scenario_.shuffles && Shuffles(now, worker)) {
    plan.reply_delay +=
        draws_.Exponential(scenario_.shuffles->mean_delay, Purpose::kNetwork,
                           task.luck, KeyOf(worker, kReplyDelay));
  }
  (task.attempt == core::AttemptType::kOriginal ? totals_.ordinary
                                                : totals_.extra) +=
      plan.service;
  return plan;
}

}  // namespace parm::sim
