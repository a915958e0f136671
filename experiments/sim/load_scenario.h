#pragma once

// A scenario file, experiments/scenario.proto, with defaults filled in and what
// the schema cannot express checked: which workers, what load, what goes wrong.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "backends/faults.h"
#include "backends/pacing.h"
#include "base/time.h"

namespace parm::sim {

struct LoadStep {
  Duration at{0};
  std::optional<double> load;  // nullopt: the scenario's own again
};

/// So many of the queries hold so many samples.
struct BatchSize {
  uint32_t samples = 1;
  double share = 1;
};

/// Measured figures of the parity model of a code.
struct RedundancyUnit {
  std::string scheme;
  int k = 0;
  std::optional<double> accuracy;
  double cost = 1;
};

struct RovingSlowMode {
  double factor = 1;
  Duration every{0};
  Duration length{0};
};

struct Shuffles {
  uint32_t pairs = 0;
  Duration length{0};
  Duration mean_delay{0};
};

struct TraceReplay {
  std::string file;  // empty: the caller's
  std::string series;
  std::string vm_sku;
  Duration dwell = Milliseconds(10'000);
  std::vector<double> slowdowns;  // read by LoadTrace
};

/// Service times as they were measured, in place of the pace's draws; not of a
/// scenario file. The pace's `service` must be their mean.
struct RecordedService {
  std::vector<double> seconds;  // ascending, each as likely as any other
  /// A worker keeps what it drew for this long; 0: each job draws anew.
  Duration dwell{0};
};

struct DomainPause {
  Duration every{0};
  Duration length{0};
};

/// What befalls one worker, from `at` for `length`.
struct WorkerEvent {
  enum class Kind : uint8_t { kKill, kSilent, kFailing };
  Kind kind = Kind::kKill;
  uint32_t worker = 0;
  Duration at{0};
  Duration length{0};
};

/// A silent worker takes so much longer, simulated and live: no run lasts it.
inline constexpr double kSilentFactor = 10'000;

struct LoadScenario {
  std::string name;
  std::string file;       // for messages
  int workers_line = 1;   // where `workers` stands
  int policies_line = 1;  // where `policies` stands
  int trace_line = 1;
  uint32_t num_workers = 24;
  uint32_t fault_domains = 4;
  PaceOptions pace;
  Duration network_min = Microseconds(50);
  Duration network_max = Microseconds(400);
  double load = 0.5;
  std::vector<LoadStep> load_steps;
  std::vector<BatchSize> batch_sizes;  // empty: one sample each
  uint64_t num_queries = 100'000;
  Duration warm_up = Milliseconds(2000);
  std::vector<std::string> policies;
  std::vector<RedundancyUnit> units;
  std::optional<double> deployed_accuracy;
  std::vector<FaultWindow> faults;
  std::optional<RecordedService> recorded;
  std::optional<RovingSlowMode> roving_slow_mode;
  std::optional<Shuffles> shuffles;
  std::optional<TraceReplay> trace;
  std::optional<DomainPause> domain_pause;
  std::vector<WorkerEvent> worker_events;
  uint32_t num_frontends = 1;
};

/// Errors: kInvalidArgument "FILE:LINE: ..." for what proto/strict_yaml.h
/// refuses, and for: network.min above max; load steps out of order; shares of
/// batch_sizes that do not add up to 1; a fault
/// that is not slow_jobs, slow_mode or reply_delay, or states one in part; a
/// slow mode or pause longer than its period; a period of 0; a worker event of
/// length 0.
absl::StatusOr<LoadScenario> ParseLoadScenario(absl::string_view yaml,
                                               absl::string_view file);

/// Errors: as ParseLoadScenario; kNotFound if the file cannot be read.
absl::StatusOr<LoadScenario> ReadLoadScenario(const std::string& path);

/// The same workers and load, but nothing goes wrong.
LoadScenario WithoutFaults(LoadScenario scenario);

/// Mean service time of a query of so many samples where nothing goes wrong.
Duration CleanService(const LoadScenario& scenario, uint32_t samples);

/// Of all queries.
Duration MeanCleanService(const LoadScenario& scenario);

/// Queries per second at a load of 1.
double RateAtFullLoad(const LoadScenario& scenario);

/// How many arrive on average between two times since the start, at least 1.
uint64_t QueriesWithin(const LoadScenario& scenario, Duration from,
                       Duration to);

/// What depends on the number of workers, which a flag may replace.
/// Errors: kInvalidArgument "FILE:LINE: ..." if more workers shuffle than there
/// are, or an event befalls one that is not there.
absl::Status CheckWorkers(const LoadScenario& scenario);

/// Reads the trace, if the scenario has one: `file`, or the scenario's own,
/// from its folder.
/// Errors: kInvalidArgument with file and line if none was named, it cannot be
/// read, or is malformed (ReadSlowdowns); `file` given but not wanted.
absl::Status LoadTrace(const std::string& file, LoadScenario* scenario);

}  // namespace parm::sim
