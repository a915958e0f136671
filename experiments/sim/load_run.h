#pragma once

// Runs a scenario of load over the real core on virtual time and measures it as
// a live run is measured: the same run record, from arrival to answer at the
// frontend. The checks of each action (experiments/sim/README.md) are kept.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/latency_histogram.h"
#include "base/time.h"
#include "experiments/load/load_tally.h"
#include "experiments/run_record.h"
#include "experiments/sim/candidate.h"
#include "experiments/sim/load_scenario.h"

namespace parm::sim {

struct LoadRun {
  RunEntry entry;
  LoadTally tally;
  Duration virtual_time{0};
  uint64_t num_events = 0;
};

/// One candidate, one seed. Queries arrive by a Poisson process; those of the
/// warm-up are not measured, and the arrivals go on until the last measured
/// query is answered.
/// Errors: as CheckWorkers, MakeWorld and FrontendCore::Create; kInternal if
/// the core broke a rule, with the rule.
/// Cost: about 10 us a query.
absl::StatusOr<LoadRun> RunLoadScenario(const LoadScenario& scenario,
                                        const Candidate& candidate,
                                        uint64_t seed);

}  // namespace parm::sim
