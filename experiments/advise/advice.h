#pragma once

// What each policy would have given an operator's servers: recorded latencies
// become the service times of simulated workers, and every policy meets the
// same arrivals and the same luck there, by the frontend's own core.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/time.h"
#include "experiments/advise/recorded_latencies.h"
#include "experiments/sim/load_run.h"

namespace parm::advise {

struct AdviceOptions {
  double load = 0.5;  // offered rate x mean recorded latency / servers
  uint32_t servers = 8;
  uint32_t fault_domains = 4;
  uint64_t queries = 200'000;
  uint64_t seed = 1;
  /// Unset: three times the longest record, at least 100 ms.
  std::optional<Duration> deadline;
  /// How long a server stays as slow as it is; 0: each job by itself.
  Duration slow_lasts{0};
  /// Of the model and of what parity answers are rebuilt to; unset: unknown.
  std::optional<double> accuracy;
  std::optional<double> reconstructed_accuracy;
  /// frontend.yaml files beside the policies below.
  std::vector<std::string> policy_files;
};

/// The policies, one after the other: none, replicate, hedge, coded (sum, k =
/// 2), hybrid (sum, k = 4), each with the defaults of its configuration, then
/// those of the files. A code that needs more servers than there are is left
/// out.
/// Needs:  load, servers, queries above 0.
/// Errors: as ReadCandidate and RunLoadScenario; kInvalidArgument if the
///         deadline is not above the mean latency.
absl::StatusOr<std::vector<sim::LoadRun>> Advise(
    const RecordedLatencies& latencies, const AdviceOptions& options);

/// What follows from the runs of one load, in sentences, one a line: the lowest
/// p99.9 and its price, the same among those whose answers are all the model's
/// own, and whether doing nothing is as good.
/// Needs: runs of Advise.
std::string Verdict(absl::Span<const sim::LoadRun> runs);

}  // namespace parm::advise
