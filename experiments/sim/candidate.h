#pragma once

// A policy to simulate, as a frontend's configuration file states it, and the
// world that it meets: the scenario's workers, shared out among the roles that
// the policy needs.

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "experiments/run_record.h"
#include "experiments/sim/load_scenario.h"
#include "experiments/sim/scenario.h"
#include "frontend/core/core_options.h"

namespace parm::sim {

struct Candidate {
  std::string policy;  // label of the record
  std::string file;
  core::CoreOptions core;
  uint32_t max_in_flight = 16;  // of each worker

  const core::ModelOptions& model() const { return core.models.front(); }
};

/// Reads a frontend.yaml with one model. Its workers' endpoints are not used,
/// and of max_in_flight the first one is.
/// Errors: as LoadFrontendConfig; kInvalidArgument if it has several models.
absl::StatusOr<Candidate> ReadCandidate(const std::string& path);

/// The same of text; `file` is used in messages, and names the policy.
/// Errors: as ReadCandidate.
absl::StatusOr<Candidate> ParseCandidate(absl::string_view yaml,
                                         const std::string& file);

/// "../policies/NAME.yaml" from the scenario's folder; a name with a slash or a
/// dot is a path as it is.
std::string CandidatePath(const LoadScenario& scenario,
                          const std::string& policy);

/// The scheme, k and r of a policy that codes.
std::optional<CodeLabel> LabelOf(const Candidate& candidate);

/// How many workers serve parity models and nothing else: under `coded` the
/// share r / (k + r), under every other policy none.
uint32_t NumParityWorkers(const Candidate& candidate, uint32_t num_workers);

/// The figures of the candidate's code in the scenario, or those of a code that
/// costs what its scheme says and whose accuracy is unknown.
RedundancyUnit UnitOf(const LoadScenario& scenario, const Candidate& candidate);

/// Workers, roles, network and the core's options; no faults.
/// Errors: kInvalidArgument "FILE:LINE: ..." if there are too few workers for k
/// members and r parity queries of a group, the scenario states no figures of a
/// backup's model, or service takes longer than the deadline.
absl::StatusOr<Scenario> MakeWorld(const LoadScenario& scenario,
                                   const Candidate& candidate, uint64_t seed);

}  // namespace parm::sim
