#include "frontend/core/policies/hedge_policy.h"

#include <algorithm>

namespace parm::core {

int NumHedges(const Batch& batch) {
  const auto copies = batch.copies.begin();
  return static_cast<int>(
      std::count_if(copies, copies + batch.num_copies, [](const Task* task) {
        return task->attempt == AttemptType::kHedge && !task->redundant;
      }));
}

HedgePolicy::HedgePolicy(const ModelOptions& model)
    : options_(model.hedge),
      max_delay_(model.hedge.max.value_or(model.deadline / 2)),
      observe_(model.mode == PolicyMode::kObserve),
      budget_(model.hedge.budget) {}

Duration HedgePolicy::DelayOf(const Turn& turn, const Batch& batch,
                              PolicyHost& host) const {
  const std::optional<LatencyTrigger::Delays> delays =
      host.DelaysOf(turn, batch);
  const Duration delay =
      delays ? std::max(options_.min, delays->hedge) : max_delay_;
  return std::min(delay, max_delay_);
}

void HedgePolicy::OnFirstDispatch(const Turn& turn, Batch& batch,
                                  PolicyHost& host) {
  late_share_.OnDispatch();
  host.ArmTimer(batch, turn.now + DelayOf(turn, batch, host));
}

void HedgePolicy::OnTimer(const Turn& turn, Batch& batch, PolicyHost& host) {
  if (batch.num_policy_timers == 1) late_share_.OnLate();
  if (Hedge(turn, batch, /*most=*/1, host) == Verdict::kLater) {
    TryAgain(turn, batch, host);
  }
}

void HedgePolicy::TryAgain(const Turn& turn, Batch& batch,
                           PolicyHost& host) const {
  // When it has waited twice as long: budget and slots come back, and the
  // number of tries stays small.
  const Time next = turn.now + std::max(options_.min, turn.now - batch.sent);
  if (next < batch.deadline) host.ArmTimer(batch, next);
}

HedgePolicy::Verdict HedgePolicy::Hedge(const Turn& turn, Batch& batch,
                                        int most, PolicyHost& host) {
  // What failed once is not hedged too: refusals come from full queues.
  if (batch.retried || batch.deadline <= turn.now || NumHedges(batch) >= most ||
      batch.hedge_observed) {
    return Verdict::kNever;
  }
  HedgeCounters& counters = host.CountersOf(batch.model);
  if (Braked()) {
    ++counters.braked;
    return Verdict::kLater;
  }
  const Duration service = host.MeanService(batch.model, batch.samples);
  if (host.NumInFlight(batch.model, AttemptType::kHedge) >=
      MaxConcurrent(batch, host)) {
    ++counters.budget_exhausted;
    return Verdict::kLater;
  }
  if (!budget_.CanCharge(turn.now, service)) {
    ++counters.budget_exhausted;
    return Verdict::kLater;
  }
  if (observe_) {
    ++counters.observed;
    counters.extra_service += service;
    budget_.Charge(service);
    counters.delay.Record(turn.now - batch.sent);
    batch.hedge_observed = true;  // another one would see that nothing is out
    return Verdict::kNever;
  }
  if (Task* const copy = host.SendCopy(turn, batch, AttemptType::kHedge,
                                       /*priority=*/0)) {
    copy->charged = budget_.Charge(service);
  } else {
    ++counters.insufficient_workers;
    return Verdict::kLater;
  }
  counters.delay.Record(turn.now - batch.sent);
  return Verdict::kSent;
}

uint64_t HedgePolicy::MaxConcurrent(const Batch& batch,
                                    const PolicyHost& host) const {
  if (options_.budget.max_concurrent) return *options_.budget.max_concurrent;
  const auto lanes = static_cast<double>(host.NumLanes(batch.deployed));
  return std::max<uint64_t>(2, static_cast<uint64_t>(lanes * share_of_lanes_));
}

void HedgePolicy::OnTaskEnded(const Task& task, std::optional<Duration> service,
                              PolicyHost& host) {
  if (!service) return;  // a lost copy stays charged, lost work pays nothing
  if (!IsExtra(task.attempt)) {
    budget_.Earn(*service, host.MeanService(task.model, task.samples));
  } else if (task.charged) {
    budget_.Settle(*task.charged, *service);
  }
}

void HedgePolicy::OnDecodeHeld(const Turn& turn, Batch& batch,
                               PolicyHost& host) {
  Hedge(turn, batch, /*most=*/1, host);
}

void HedgePolicy::OnCopyFailed(const Turn& /*turn*/, Batch& batch,
                               AttemptType attempt, PolicyHost& host) {
  if (attempt == AttemptType::kHedge) ++host.CountersOf(batch.model).failed;
}

}  // namespace parm::core
