#pragma once

// One simulated world: the core's options, the workers, the load and the
// faults. Every seed draws its own.

#include <cstdint>
#include <vector>

#include "base/time.h"
#include "frontend/core/core_options.h"
#include "frontend/core/event.h"

namespace parm::sim {

class JobLaw;

struct SimWorkerSpec {
  std::vector<core::ServedBundle> bundles;
  uint32_t fault_domain = 0;
  uint32_t lanes = 1;
  uint32_t max_in_flight = 1;
};

/// What befalls a whole process, for up to kLongestIncident.
enum class IncidentKind : uint8_t {
  kDeath,       // and restart
  kDomainDies,  // every worker of one fault domain
  kPause,       // SIGSTOP
  kDisconnect,
  kDrain,           // and restart
  kFailsAtOnce,     // every task, without computing: looks idle
  kFrontendStalls,  // afterwards its events and timers come in a row
};

/// Probabilities per task, query or message. DrawScenario draws its own; these
/// are a bad day that any other world may be given.
struct FaultRates {
  double never_answered = 0.01;
  double duplicate_reply = 0.01;
  double slow = 0.01;
  double slow_factor = 10;
  double retryable_error = 0.001;
  double permanent_error = 0.001;
  double undecodable = 0.001;
  double encode_failure = 0.002;
  double decode_failure = 0.01;
  double not_sent = 0.001;
  double abandoned = 0.01;
  /// Zero: none.
  Duration mean_between_incidents = Milliseconds(2000);
  std::vector<IncidentKind> incidents = {
      IncidentKind::kDeath,         IncidentKind::kDomainDies,
      IncidentKind::kPause,         IncidentKind::kDisconnect,
      IncidentKind::kDrain,         IncidentKind::kFailsAtOnce,
      IncidentKind::kFrontendStalls};
};

struct Scenario {
  uint64_t seed = 1;
  uint64_t num_queries = 10'000;
  core::CoreOptions core;
  std::vector<SimWorkerSpec> workers;
  FaultRates faults;
  /// Not owned. If set, it says how long a job takes, not the next two and
  /// faults.slow.
  JobLaw* job_law = nullptr;
  Duration service = Milliseconds(10);
  double service_spread = 0.2;
  Duration network_min = Microseconds(50);
  Duration network_max = Microseconds(400);  // messages may overtake
  Duration encode_time = Microseconds(100);
  Duration decode_time = Microseconds(20);
  Duration latest_hello{0};  // workers come up in any order until then
  Duration heartbeat_interval = Milliseconds(100);
  double arrivals_per_s = 100;
  uint32_t num_signatures = 1;
  uint32_t max_samples = 1;
  double share_uncodable = 0.02;  // signature 0
  double share_exact = 0.1;
  double share_fast = 0.1;
  uint64_t bytes_per_sample = 3136;

  /// Longest that an incident lasts.
  static constexpr Duration kLongestIncident = Milliseconds(1500);
};

inline BundleKey DeployedBundle(uint32_t model) {
  return BundleKey{100 + model};
}
inline BundleKey ParityBundle(uint32_t model, uint32_t parity_index) {
  return BundleKey{200 + 10 * model + parity_index};
}

bool ServesDeployed(const SimWorkerSpec& worker);

/// Of all workers together, for ordinary tasks.
uint32_t NumSlots(const Scenario& scenario);

/// A world in which any of the faults may be frequent, rare or absent.
Scenario DrawScenario(uint64_t seed, uint64_t num_queries);

}  // namespace parm::sim
