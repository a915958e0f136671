#pragma once

// Two marks that no policy of one copy per query reaches, and that redundancy
// only meets where nothing is left to gain: they know what a frontend cannot.
// They have no core; they take the same arrivals, service times and faults.

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "experiments/sim/candidate.h"
#include "experiments/sim/load_run.h"
#include "experiments/sim/load_scenario.h"

namespace parm::sim {

/// Knows which jobs will be slow, and how long each takes where: one queue
/// before all workers, a query goes to the free worker that has its answer
/// soonest, and meets no fault but those that hold at all workers at once. No
/// capacity is lost to slow jobs. What is left is waiting for a free worker.
inline constexpr absl::string_view kOracle = "oracle";

/// A worker is free for every copy: each query goes at once to all workers (64
/// of them at most), and the first answer counts. What is left is what befalls
/// all workers at once.
inline constexpr absl::string_view kInfiniteServers = "infinite_servers";

/// Whether a policy of that name is one of these.
bool IsBound(absl::string_view policy);

/// `candidate` names the bound, and states the deadline. Replies take the
/// network's least time.
/// Errors: as CheckWorkers; kInvalidArgument if the name is no bound's.
absl::StatusOr<LoadRun> RunBound(const LoadScenario& scenario,
                                 const Candidate& candidate, uint64_t seed);

}  // namespace parm::sim
