#include "experiments/sim/candidate.h"

#include <algorithm>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "encoder/code.h"
#include "frontend/frontend_config.h"

namespace parm::sim {

namespace {

// A frontend of n workers is given room for this many queries each.
constexpr uint32_t kQueriesPerWorker = 16;

core::ServedBundle Deployed() {
  return {.bundle = DeployedBundle(0),
          .model = ModelId{0},
          .role = core::BundleRole::kDeployed,
          .deployed = DeployedBundle(0)};
}

void AddParities(const core::ModelOptions& model, SimWorkerSpec* worker) {
  const bool backup = model.policy == core::PolicyKind::kBackup;
  for (uint8_t i = 0; i < model.code->spec().r; ++i) {
    worker->bundles.push_back(
        {.bundle = ParityBundle(0, i),
         .model = ModelId{0},
         .role = backup ? core::BundleRole::kBackup : core::BundleRole::kParity,
         .deployed = DeployedBundle(0),
         .parity_index = i});
  }
}

void AddWorkers(const LoadScenario& scenario, const Candidate& candidate,
                Scenario* world) {
  const uint32_t n = scenario.num_workers;
  const uint32_t num_parity = NumParityWorkers(candidate, n);
  const core::ModelOptions& model = candidate.model();
  for (uint32_t i = 0; i < n; ++i) {
    SimWorkerSpec worker = {.fault_domain = i % scenario.fault_domains,
                            .max_in_flight = candidate.max_in_flight};
    // Spread over the fault domains: every so many workers one of parity.
    const bool parity_only =
        (uint64_t{i} + 1) * num_parity / n != uint64_t{i} * num_parity / n;
    if (!parity_only) worker.bundles.push_back(Deployed());
    if (model.code != nullptr && (parity_only || num_parity == 0)) {
      AddParities(model, &worker);
    }
    world->workers.push_back(std::move(worker));
  }
}

// The figures of a code's bundle that the scenario states; null if it does not.
const RedundancyUnit* StatedUnit(const LoadScenario& scenario,
                                 const CodeSpec& spec) {
  for (const RedundancyUnit& unit : scenario.units) {
    if (unit.scheme == spec.scheme && unit.k == spec.k) return &unit;
  }
  return nullptr;
}

absl::StatusOr<Candidate> CandidateOf(const FrontendOptions& options,
                                      const std::string& path) {
  if (options.core.models.size() != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ":1: parm-sim drives one model: got ",
                     options.core.models.size()));
  }
  if (!options.core.models[0].more_codes.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ":1: parm-sim has no bundles to choose units by: got ",
        options.core.models[0].num_units(), ", want one"));
  }
  return Candidate{.policy = std::filesystem::path(path).stem().string(),
                   .file = path,
                   .core = options.core,
                   .max_in_flight = options.catalog.max_in_flight.front()};
}

}  // namespace

absl::StatusOr<Candidate> ReadCandidate(const std::string& path) {
  PARM_ASSIGN_OR_RETURN(const FrontendOptions options,
                        LoadFrontendConfig(path));
  return CandidateOf(options, path);
}

absl::StatusOr<Candidate> ParseCandidate(absl::string_view yaml,
                                         const std::string& file) {
  PARM_ASSIGN_OR_RETURN(const FrontendOptions options,
                        ParseFrontendConfig(yaml, file));
  return CandidateOf(options, file);
}

std::string CandidatePath(const LoadScenario& scenario,
                          const std::string& policy) {
  if (policy.find_first_of("./") != std::string::npos) return policy;
  const std::filesystem::path folder =
      std::filesystem::path(scenario.file).parent_path();
  return (folder / ".." / "policies" / (policy + ".yaml"))
      .lexically_normal()
      .string();
}

std::optional<CodeLabel> LabelOf(const Candidate& candidate) {
  const Code* const code = candidate.model().code.get();
  if (code == nullptr) return std::nullopt;
  return CodeLabel{
      .scheme = code->spec().scheme, .k = code->spec().k, .r = code->spec().r};
}

uint32_t NumParityWorkers(const Candidate& candidate, uint32_t num_workers) {
  const core::ModelOptions& model = candidate.model();
  if (model.policy != core::PolicyKind::kCoded) return 0;
  const auto k = static_cast<uint32_t>(model.code->spec().k);
  const auto r = static_cast<uint32_t>(model.code->spec().r);
  const uint32_t nearest = (2 * num_workers * r + k + r) / (2 * (k + r));
  return std::max(r, nearest);
}

RedundancyUnit UnitOf(const LoadScenario& scenario,
                      const Candidate& candidate) {
  const Code* const code = candidate.model().code.get();
  if (code == nullptr) return {};
  const CodeSpec& spec = code->spec();
  if (const RedundancyUnit* stated = StatedUnit(scenario, spec)) return *stated;
  RedundancyUnit unit = {.scheme = spec.scheme, .k = spec.k};
  if (spec.scheme == "pack") {
    unit.cost = 1 + (spec.k - 1) * ToSeconds(scenario.pace.per_extra_sample) /
                        ToSeconds(scenario.pace.service);
  }
  return unit;
}

absl::StatusOr<Scenario> MakeWorld(const LoadScenario& scenario,
                                   const Candidate& candidate, uint64_t seed) {
  const auto error = [&](int line, auto... text) {
    return absl::InvalidArgumentError(
        absl::StrCat(scenario.file, ":", line, ": ", text...));
  };
  const core::ModelOptions& model = candidate.model();
  if (model.code != nullptr) {
    const auto k = static_cast<uint32_t>(model.code->spec().k);
    const auto r = static_cast<uint32_t>(model.code->spec().r);
    if (scenario.num_workers < k + r) {
      return error(scenario.workers_line, "workers: got ", scenario.num_workers,
                   ", want at least k + r = ", k + r, " for policy ",
                   candidate.policy);
    }
  }
  // Recorded latencies come without bundles (parm-advise).
  if (model.policy == core::PolicyKind::kBackup && !scenario.recorded &&
      StatedUnit(scenario, model.code->spec()) == nullptr) {
    return error(scenario.policies_line, "policy ", candidate.policy,
                 " has no backup model: units states no cost of ",
                 ToString(model.code->spec()));
  }
  if (scenario.pace.service >= model.deadline) {
    return error(scenario.policies_line, "policy ", candidate.policy,
                 " has a deadline that is not above pace.service");
  }
  Scenario world;
  world.seed = seed;
  world.core = candidate.core;
  world.core.num_workers = scenario.num_workers;
  world.core.max_queries = std::max(world.core.max_queries,
                                    kQueriesPerWorker * scenario.num_workers);
  world.core.seed = seed;
  AddWorkers(scenario, candidate, &world);
  world.faults = {.never_answered = 0,
                  .duplicate_reply = 0,
                  .slow = 0,
                  .slow_factor = 1,
                  .retryable_error = 0,
                  .permanent_error = 0,
                  .undecodable = 0,
                  .encode_failure = 0,
                  .decode_failure = 0,
                  .not_sent = 0,
                  .abandoned = 0,
                  .mean_between_incidents = Duration{0},
                  .incidents = {}};
  world.network_min = scenario.network_min;
  world.network_max = scenario.network_max;
  return world;
}

}  // namespace parm::sim
