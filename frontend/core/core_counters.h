#pragma once

// What the core counts, in plain fields; the metrics exporter copies them out.

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/ids.h"
#include "base/latency_histogram.h"
#include "base/time.h"
#include "frontend/core/action.h"
#include "frontend/core/rare_paths.h"

namespace parm::core {

inline constexpr size_t kNumSources = 7;

/// Copies that a policy sent, or did not send.
struct HedgeCounters {
  uint64_t won = 0;                   // batches that a copy answered
  uint64_t failed = 0;                // ended without an answer
  uint64_t budget_exhausted = 0;      // due, but no budget
  uint64_t insufficient_workers = 0;  // due, but no other worker had a slot
  uint64_t braked = 0;                // due, but most queries were late
  uint64_t observed = 0;              // mode observe: would have been sent
  uint64_t losers_cancelled = 0;      // at the start of another copy
  uint64_t replicas = 0;              // copies of queries without siblings
  uint64_t shed_for_load = 0;         // parity or replica: the gate, the brake
  uint64_t shed_for_budget = 0;       // parity or replica
  uint64_t shed_for_concurrency = 0;  // replica: too many copies out
  double load = 0;                    // as policy hybrid measures it, 0..1
  double straggler_share = 0;         // the same
  LatencyHistogram delay;             // first dispatch to hedge
  // Estimated service time: of first dispatches, and of copies.
  Duration ordinary_service{0};
  Duration extra_service{0};
};

struct ModelCounters {
  std::array<uint64_t, kNumSources> answers{};        // by AnswerSource
  std::array<LatencyHistogram, kNumSources> latency;  // arrival to answer
  LatencyHistogram dispatch_delay;  // arrival to first dispatch
  uint64_t abandoned = 0;
  uint64_t further_attempts = 0;  // queries of another proxy's retry or hedge
  uint64_t late_originals = 0;    // exact answers after the trigger, or never
  // Groups by outcome.
  uint64_t groups_closed_full = 0;
  uint64_t groups_closed_short = 0;
  uint64_t groups_unprotected = 0;
  uint64_t groups_parity_unplaced = 0;  // no worker could take the parity
  uint64_t encode_failures = 0;
  uint64_t decodes = 0;
  uint64_t decode_failures = 0;   // refused: noise gain, not finite, shape
  uint64_t decodes_held = 0;      // not released at the trigger
  uint64_t decodes_unused = 0;    // an exact answer came first
  uint64_t quality_compared = 0;  // samples, decode against late original
  uint64_t quality_agreed = 0;
  // See agreement_gate.h.
  uint64_t gate_closed = 0;
  uint64_t gate_opened = 0;
  std::optional<double> agreement;        // nullopt: too few samples yet
  uint64_t observed_reconstructions = 0;  // mode observe: would have answered
  // Tasks by AttemptType.
  std::array<uint64_t, kNumAttemptTypes> tasks{};
  HedgeCounters hedge;
  uint64_t undecodable_replies = 0;  // wrong shape or not finite
};

enum class EjectionCause : uint8_t {
  kConsecutive5xx,
  kConsecutiveGatewayFailure,
  kLatency,
};
inline constexpr size_t kNumEjectionCauses = 3;

/// Label `cause` of the metrics.
constexpr absl::string_view NameOf(EjectionCause cause) {
  switch (cause) {
    case EjectionCause::kConsecutive5xx:
      return "consecutive_5xx";
    case EjectionCause::kConsecutiveGatewayFailure:
      return "consecutive_gateway_failure";
    case EjectionCause::kLatency:
      break;
  }
  return "latency";
}

/// Of workers, by worker_ejection.h.
struct EjectionCounters {
  std::array<uint64_t, kNumEjectionCauses> enforced{};  // by EjectionCause
  uint64_t overflow = 0;    // not ejected: too many are, or it is the last one
  uint64_t braked = 0;      // not ejected: most workers are in trouble
  uint64_t readmitted = 0;  // after a trial
  uint64_t ejected_now = 0;
  // For the log: ejections and readmissions, and the last one of them.
  uint64_t num_changes = 0;
  struct Change {
    WorkerId worker{};
    std::optional<EjectionCause> cause;  // nullopt: it takes tasks again
  } last;
};

struct CoreCounters {
  std::vector<ModelCounters> models;  // by ModelId
  uint64_t shed_queries = 0;          // max_queries
  uint64_t shed_bytes = 0;            // max_buffered_bytes
  uint64_t unknown_replies = 0;       // task not known: late or repeated
  uint64_t tasks_cancelled = 0;
  uint64_t tasks_redispatched = 0;
  uint64_t workers_lost = 0;
  uint64_t workers_silent = 0;
  uint64_t workers_restarted = 0;
  uint64_t probes = 0;
  EjectionCounters ejections;
  RarePaths rare_paths;  // for tests: which rare branches were taken
};

/// Entries alive in each table of the core.
struct CoreSizes {
  size_t queries = 0;
  size_t batches = 0;
  size_t tasks = 0;
  size_t groups = 0;
  size_t open_groups = 0;
  size_t timers = 0;
  uint64_t buffered_bytes = 0;
};

}  // namespace parm::core
