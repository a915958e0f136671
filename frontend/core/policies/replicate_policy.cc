#include "frontend/core/policies/replicate_policy.h"

namespace parm::core {

void ReplicatePolicy::OnFirstDispatch(const Turn& turn, Batch& batch,
                                      PolicyHost& host) {
  HedgeCounters& counters = host.CountersOf(batch.model);
  const Duration service = EstimatedService(turn, batch, host);
  counters.ordinary_service += service;
  if (observe_) {
    ++counters.observed;
  } else if (!host.SendCopy(turn, batch, AttemptType::kHedge,
                            /*priority=*/1)) {
    ++counters.insufficient_workers;
    return;
  }
  counters.extra_service += service;
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
