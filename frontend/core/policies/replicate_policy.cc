#include "frontend/core/policies/replicate_policy.h"

namespace parm::core {

void ReplicatePolicy::OnFirstDispatch(const Turn& turn, Batch& batch,
                                      PolicyHost& host) {
  HedgeCounters& counters = host.CountersOf(batch.model);
  if (observe_) {
    ++counters.observed;
    counters.extra_service += host.MeanService(batch.model, batch.samples);
  } else if (host.SendCopy(turn, batch, AttemptType::kHedge, /*priority=*/1) ==
             nullptr) {
    ++counters.insufficient_workers;
  }
}

void ReplicatePolicy::OnStarted(const Turn& turn, Batch& batch,
                                const Task& task, PolicyHost& host) {
  if (cancels_ == CancelLoser::kAtEnd) return;
  host.CountersOf(batch.model).losers_cancelled +=
      host.CancelOthers(turn, batch, task);
}

void ReplicatePolicy::OnCopyFailed(const Turn& /*turn*/, Batch& batch,
                                   AttemptType attempt, PolicyHost& host) {
  if (attempt == AttemptType::kHedge) ++host.CountersOf(batch.model).failed;
}

}  // namespace parm::core
