#pragma once

// What must hold at the end of a run, beyond what each action is checked for.

#include <cstdint>
#include <vector>

#include "experiments/sim/performer.h"
#include "experiments/sim/scenario.h"
#include "experiments/sim/sim_worker.h"
#include "experiments/sim/violations.h"
#include "frontend/core/core_counters.h"

namespace parm::sim {

/// Taken before and after the burst that follows the faults.
struct Snapshot {
  core::CoreCounters counters;
  std::vector<uint64_t> tasks_by_worker;
};
Snapshot TakeSnapshot(const core::CoreCounters& counters,
                      const std::vector<SimWorker>& workers);

/// All of the burst was answered by a model, every worker of deployed bundles
/// worked, and groups closed full and got their parity.
void CheckBurst(const Scenario& scenario, const Snapshot& before,
                const Snapshot& after, uint64_t burst_size,
                Violations& violations);

/// Nothing is left, in the core or of the core's.
void CheckForgotten(const core::CoreSizes& sizes, Performer& world);

/// What the core counted is what happened.
void CheckCounters(const core::CoreCounters& counters, Performer& world);

}  // namespace parm::sim
