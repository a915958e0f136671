#pragma once

// What the configuration decides for the core, resolved to plain values.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "encoder/code.h"

namespace parm::core {

enum class PolicyKind : uint8_t {
  kNone,
  kCoded,
  kHedge,
  kReplicate,
  kBackup,
  kHybrid,
};

/// Codes of one model at most.
inline constexpr size_t kMaxUnits = 8;

/// Whether batches join coding groups, so that a code is needed.
constexpr bool UsesCode(PolicyKind policy) {
  return policy == PolicyKind::kCoded || policy == PolicyKind::kBackup ||
         policy == PolicyKind::kHybrid;
}

/// Whether it asks how long copies run; run_times.h.
constexpr bool AsksForRuns(PolicyKind policy) {
  return policy == PolicyKind::kHybrid;
}

enum class PolicyMode : uint8_t { kAct, kObserve };

struct DecodeOptions {
  /// A reconstruction is held until this quantile of the dispatch-to-reply time
  /// of the model's own tasks has passed since the member's dispatch; 0: it is
  /// released at once.
  double trigger_quantile = 0.90;
  Duration trigger_min{0};
  /// Upper bound of the trigger; it also never passes deadline - slack.
  std::optional<Duration> trigger_max;
  Duration slack = Milliseconds(5);
  /// Below it a reconstruction waits for something better.
  std::optional<float> min_confidence;
  /// Below it a reconstruction is not even used at the deadline.
  std::optional<float> floor;
  /// While fewer of the decodes than this agree with their late originals, none
  /// is an answer.
  std::optional<double> min_agreement;
  double max_noise_gain = 100;
};

/// How much extra work a policy may cause; policies/work_budget.h.
struct BudgetOptions {
  /// Service time of copies, as a share of that of first dispatches.
  double max_extra_load = 0.10;
  /// Copies that are allowed beside, so that a rare query can be hedged too.
  double min_per_second = 1;
  /// Unused share that may be saved up, in copies.
  double burst = 10;
  /// Copies at the workers at once; unset: a quarter of the lanes, at least 2.
  std::optional<uint32_t> max_concurrent;
};

/// When a second copy leaves. Below 32 known times nothing is hedged before
/// `max`.
struct HedgeOptions {
  double quantile = 0.95;
  Duration min = Milliseconds(1);
  std::optional<Duration> max;  // unset: half of the model's deadline
  BudgetOptions budget;
  /// Brake: no hedge while more than this share of the queries is late.
  double max_late_share = 0.5;
};

/// When the slower one of two replicas is withdrawn: once the other has begun,
/// or once it has answered.
enum class CancelLoser : uint8_t { kAtStart, kAtEnd };

/// How much redundancy is let in; policies/load_gate.h. Both compare with the
/// load as it would be with the extra work.
struct GateOptions {
  double open = 0.60;  // up to here groups are as small as it allows
  double shut = 0.95;  // from here on, nothing
  /// While the share of stragglers is below calm_share, nothing is let in from
  /// calm_shut on already.
  double calm_share = 0.0005;
  double calm_shut = 0.75;
  Duration window = Milliseconds(1000);
};

/// Policy hybrid, beside `hedge`, `decode` and `code`.
struct HybridOptions {
  /// Service time of all extra work, as a share of that of first dispatches,
  /// while the gate is open; hedge.budget.max_extra_load while it is shut.
  double max_extra_load = 1;
  GateOptions gate;
  /// Service time of a group's parity queries together, in queries; 0: that of
  /// its unit.
  double parity_cost = 0;
  /// A copy that has begun is late after this quantile of the runs of those
  /// that are no stragglers.
  double run_quantile = 0.98;
  /// A second hedge, where all that a query has would be late more often than
  /// this with one; 1: never.
  double max_all_late = 0.0002;
};

/// Which worker takes a task; worker_table.h.
enum class WorkerChoice : uint8_t {
  kExpectedWait,
  kPowerOfTwoChoices,
  kPeakEwma,
  kRoundRobin,
};

struct BalancingOptions {
  WorkerChoice choice = WorkerChoice::kExpectedWait;
  // Of peak_ewma: how fast a peak is forgotten, and what a worker is taken for
  // that has not answered yet.
  Duration decay_time = Milliseconds(10'000);
  Duration default_rtt = Milliseconds(10);
};

/// When a worker that stands out gets no tasks for a while;
/// worker_ejection.h. Envoy's names and defaults.
struct EjectionOptions {
  uint32_t consecutive_5xx = 5;              // 0: never
  uint32_t consecutive_gateway_failure = 5;  // 0: never
  Duration interval = Milliseconds(10'000);
  Duration base_ejection_time = Milliseconds(30'000);
  Duration max_ejection_time = Milliseconds(300'000);
  uint32_t max_ejection_percent = 10;
  /// An answer of more than so many median times is late; 0: lateness ejects
  /// nobody.
  double latency_factor = 0;
  /// Answers in an interval below which it says nothing.
  uint32_t latency_request_volume = 5;
};

struct ModelOptions {
  std::string name;
  Duration deadline = Milliseconds(500);
  uint32_t max_batch_size = 1;
  Duration batch_timeout = Milliseconds(1);
  PolicyKind policy = PolicyKind::kNone;
  PolicyMode mode = PolicyMode::kAct;
  std::shared_ptr<const Code> code;  // UsesCode(policy) only
  /// Other codes that queries may come with, whichever is the best buy: `code`
  /// is unit 0, these are units 1, 2, ...
  std::vector<std::shared_ptr<const Code>> more_codes;
  Duration group_timeout = Milliseconds(20);
  bool pad_short_groups = true;
  DecodeOptions decode;
  HedgeOptions hedge;
  CancelLoser replicate_cancels = CancelLoser::kAtEnd;
  HybridOptions hybrid;
  bool has_default_answer = false;

  /// 0: it does not use a code.
  size_t num_units() const {
    return code == nullptr ? 0 : 1 + more_codes.size();
  }
  const std::shared_ptr<const Code>& code_of(size_t unit) const {
    return unit == 0 ? code : more_codes.at(unit - 1);
  }
};

struct CoreOptions {
  std::vector<ModelOptions> models;  // by ModelId
  uint32_t num_workers = 0;          // WorkerId < num_workers
  uint32_t max_queries = 4096;
  uint64_t max_buffered_bytes = uint64_t{1} << 30;
  Duration feedback_horizon = Milliseconds(10'000);
  Duration heartbeat_timeout = Milliseconds(500);
  Duration probe_interval = Milliseconds(250);
  BalancingOptions balancing;
  EjectionOptions ejection;
  /// Share of cancellable losers that is left to finish, so that the ledger
  /// sees real stragglers too.
  double loser_sample_rate = 0.05;
  /// Answered groups that are kept because a late original may still tell how
  /// good a decode was; beyond it the oldest is given up.
  uint32_t ledger_room = 1024;
  uint64_t seed = 1;
};

}  // namespace parm::core
