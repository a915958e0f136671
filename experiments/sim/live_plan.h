#pragma once

// A scenario as a plan for real processes: the same roles, rates, fault windows
// and pauses as simulated, in JSON that experiments/live reads.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/time.h"
#include "experiments/sim/candidate.h"
#include "experiments/sim/load_scenario.h"

namespace parm::sim {

/// Unit:   `measured` is the measured part, after the scenario's warm-up.
/// Errors: as MakeWorld.
absl::StatusOr<std::string> LivePlanJson(
    const LoadScenario& scenario, const std::vector<Candidate>& candidates,
    uint64_t seed, Duration measured);

}  // namespace parm::sim
