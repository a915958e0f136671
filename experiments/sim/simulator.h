#pragma once

// Runs one scenario over the real core on virtual time and checks everything
// that must hold: first with faults, then without, then until the core must
// have forgotten it all. The same seed gives the same run, action by action.

#include <cstdint>
#include <string>
#include <vector>

#include "experiments/sim/scenario.h"
#include "frontend/core/core_counters.h"

namespace parm::sim {

struct SimResult {
  /// Empty if every check held. At most 20 are kept.
  std::vector<std::string> violations;
  uint64_t num_violations = 0;
  /// Over every action with its time and fields.
  uint64_t trace_hash = 0;
  uint64_t num_actions = 0;
  core::CoreCounters counters;
  core::CoreSizes peak;
  Duration virtual_time{0};
};

/// Needs: the scenario's options are valid.
SimResult Simulate(const Scenario& scenario);

/// Longest virtual time from the end of all faults until the frontend must
/// serve as if there had been none: the longest incident, then a silent worker
/// must be probed and heard, and the slots of tasks that never return are given
/// up.
Duration RecoveryBound(const Scenario& scenario);

}  // namespace parm::sim
