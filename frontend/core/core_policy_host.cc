#include "frontend/core/core_policy_host.h"

#include <algorithm>

namespace parm::core {

Task* CorePolicyHost::SendCopy(const Turn& turn, Batch& batch,
                               AttemptType attempt, uint8_t priority) {
  if (batch.stage != BatchStage::kSent || batch.num_open == 0 ||
      batch.refused || batch.deadline <= turn.now) {
    return nullptr;
  }
  const bool sent = dispatcher_.SendCopy(turn, batch, attempt, priority,
                                         Dispatcher::Wait::kNever, kNoWorker);
  return sent ? batch.copies[batch.num_copies - 1U] : nullptr;
}

void CorePolicyHost::ArmTimer(Batch& batch, Time at) {
  state_.timers.Arm(&batch.policy_timer, at, TimerKind::kPolicy,
                    Slab<Batch>::IndexOf(batch));
}

uint32_t CorePolicyHost::CancelOthers(const Turn& turn, Batch& batch,
                                      const Task& keep) {
  if (keep.cancelled) return 0;
  uint32_t cancelled = 0;
  for (size_t i = 0; i < batch.num_copies; ++i) {
    Task& copy = *batch.copies[i];
    if (&copy == &keep || copy.cancelled) continue;
    dispatcher_.Cancel(turn, copy);
    ++cancelled;
  }
  return cancelled;
}

std::optional<LatencyTrigger::Delays> CorePolicyHost::DelaysOf(
    const Turn& turn, const Batch& batch) {
  return state_.trigger(batch.model, batch.samples).DelaysAt(turn.now);
}

const std::optional<RunTimes::Estimate>& CorePolicyHost::RunsOf(
    const Batch& batch) {
  return state_.run_times(batch.model, batch.samples).estimate();
}

const std::optional<RunTimes::Estimate>& CorePolicyHost::ParityRunsOf(
    const Batch& batch) {
  return state_.parity_runs(batch.model, batch.samples).estimate();
}

bool CorePolicyHost::TellsBegins(WorkerId worker) const {
  return workers_.at(worker).tells_begins();
}

Duration CorePolicyHost::MeanService(ModelId model, uint32_t samples) {
  const Duration mean = state_.service_mean(model, samples).value();
  return mean > Duration{0} ? mean : samples * Milliseconds(1);
}

uint32_t CorePolicyHost::NumInFlight(ModelId model, AttemptType attempt) const {
  return state_.in_flight[Raw(model)][static_cast<size_t>(attempt)];
}

uint64_t CorePolicyHost::NumLanes(BundleKey bundle) const {
  return workers_.LanesOf(bundle).all;
}

HedgeCounters& CorePolicyHost::CountersOf(ModelId model) {
  return state_.model_counters(model).hedge;
}

double CorePolicyHost::BusyShare(BundleKey bundle) const {
  return workers_.LanesOf(bundle).busy_share();
}

bool CorePolicyHost::HasIdleLanes(BundleKey bundle, uint64_t count) const {
  return workers_.LanesOf(bundle).idle >= count;
}

double CorePolicyHost::BusyShareBefore(const Batch& batch) const {
  return workers_.LanesOf(batch.deployed, batch.worker).busy_share();
}

double CorePolicyHost::Fullness() const {
  const CoreOptions& options = state_.options;
  const double queries = static_cast<double>(state_.open_queries) /
                         static_cast<double>(options.max_queries);
  const double bytes = static_cast<double>(state_.buffered_bytes) /
                       static_cast<double>(options.max_buffered_bytes);
  return std::max(queries, bytes);
}

}  // namespace parm::core
