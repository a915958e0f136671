#include "experiments/sim/job_plans.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "backends/pacing.h"
#include "experiments/sim/joint_faults.h"
#include "frontend/core/action.h"

namespace parm::sim {

namespace {

// What a draw of a worker is for.
enum Use : uint64_t { kReplyDelay = 1 };

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
        SlowWorker(scenario_, draws_, period) == worker) {
      factor *= mode->factor;
    }
  }
  if (const auto& trace = scenario_.trace) {
    const auto period = static_cast<uint64_t>(now / trace->dwell);
    factor *= RecordedSlowdown(scenario_, draws_, period, worker);
  }
  if (IsSilent(now, worker)) factor *= kSilentFactor;
  return factor;
}

bool JobPlans::IsSilent(Duration now, uint32_t worker) const {
  return std::any_of(scenario_.worker_events.begin(),
                     scenario_.worker_events.end(),
                     [&](const WorkerEvent& event) {
                       return event.kind == WorkerEvent::Kind::kSilent &&
                              event.worker == worker && now >= event.at &&
                              now < event.at + event.length;
                     });
}

double JobPlans::ServiceSeconds(Duration now, uint32_t worker,
                                const SimTask& task) const {
  const PaceOptions& pace = scenario_.pace;
  if (!scenario_.recorded) {
    return ToSeconds(DrawServiceTime(pace, workers_[worker].draws,
                                     Luck{task.luck}, task.work));
  }
  const double of_batch = 1 + (task.work - 1) *
                                  ToSeconds(pace.per_extra_sample) /
                                  ToSeconds(pace.service);
  return of_batch *
         RecordedServiceTime(scenario_, draws_, now, worker, task.luck);
}

JobPlan JobPlans::Plan(Time begin, uint32_t worker, const SimTask& task) {
  const Duration now = begin - Time{};
  const Luck luck{task.luck};
  const WorkerDraws& at = workers_[worker];
  const FaultPlan fault = at.faults.Plan(luck, now);
  double factor = fault.slow_factor * SlowFactor(now, worker);
  if (task.attempt == core::AttemptType::kParity) factor *= parity_cost_;
  JobPlan plan;
  plan.service = FromSeconds(factor * ServiceSeconds(now, worker, task));
  plan.reply_delay = fault.reply_delay;
  if (scenario_.shuffles && IsShuffling(scenario_, draws_, now, worker)) {
    plan.reply_delay +=
        draws_.Exponential(scenario_.shuffles->mean_delay, Purpose::kNetwork,
                           task.luck, Draws::Mix(worker) ^ kReplyDelay);
  }
  plan.silent = IsSilent(now, worker);
  if (plan.silent) return plan;
  (task.attempt == core::AttemptType::kOriginal ? totals_.ordinary
                                                : totals_.extra) +=
      plan.service;
  return plan;
}

}  // namespace parm::sim
