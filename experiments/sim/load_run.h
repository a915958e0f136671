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
#include "experiments/load/query_log.h"
#include "experiments/run_record.h"
#include "experiments/sim/candidate.h"
#include "experiments/sim/load_scenario.h"

namespace parm::sim {

struct LoadRun {
  RunEntry entry;
  LoadTally tally;
  Duration virtual_time{0};
  // What the jobs that were begun took of the workers, warm-up included.
  Duration ordinary_service{0};
  Duration extra_service{0};
  uint64_t num_events = 0;
  std::vector<LoggedQuery> queries;  // the measured ones, in order of arrival
};

/// What follows from the tally alone, for a simulated run: counts, rates,
/// latencies, and the accuracy of exact answers. `measured`: from the first
/// measured arrival to the last.
void FillSimulatedEntry(const LoadScenario& scenario, const LoadTally& tally,
                        Duration measured, RunEntry* entry);

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
