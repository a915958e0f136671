#pragma once

// Which of the configured workers are there, by what they said last: the loop
// notes each message here, readiness and the metrics are read off it. What a
// worker serves is in the model catalog; whether it gets tasks the core says.

#include <cstdint>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/time.h"
#include "frontend/core/core_counters.h"
#include "proto/envelope.pb.h"

namespace parm {

/// Label `state` of parm_worker_state.
enum class WorkerState : uint8_t { kDown, kSilent, kDraining, kUp };

/// What is known of one configured worker.
struct WorkerStatus {
  std::string endpoint;  // empty: the place is vacant
  std::string id;        // as it calls itself; empty before its first Hello
  bool connected = false;
  bool draining = false;
  int refusals_logged = 0;  // since its last Hello
  std::string refusal;      // the last of them
  uint64_t nonce = 0;
  Time last_heard{};
  uint64_t max_message_bytes = 0;  // of one tensor to it; 0: not said
  uint32_t queue_depth = 0;
  uint32_t in_flight = 0;

  WorkerState state(Time now, Duration heartbeat_timeout) const {
    if (!connected) return WorkerState::kDown;
    if (now - last_heard > heartbeat_timeout) return WorkerState::kSilent;
    return draining ? WorkerState::kDraining : WorkerState::kUp;
  }
};

/// Logs what changes. Needs: workers below size().
class WorkerBoard {
 public:
  /// Endpoints by WorkerId. A worker that was not heard for longer than
  /// `heartbeat_timeout` is silent.
  WorkerBoard(const std::vector<std::string>& endpoints,
              Duration heartbeat_timeout);

  /// Another worker than before, or the first of its place.
  void Place(WorkerId worker, const std::string& endpoint);
  /// Its place has none now.
  void Vacate(WorkerId worker);
  /// Returns whether it is another process than the one heard before.
  bool OnHello(WorkerId worker, const wire::Hello& hello, Time now);
  /// It says a Hello that cannot be read. Each reason is logged once until one
  /// can be, and no more than a few.
  void OnHelloRefused(WorkerId worker, const std::string& why);
  void OnHeartbeat(WorkerId worker, uint32_t queue_depth, uint32_t in_flight,
                   Time now);
  void OnDraining(WorkerId worker, Time now);
  /// It takes tasks again and has kept those that it had; a Hello follows.
  void OnStays(WorkerId worker);
  /// Any other sign of life.
  void OnHeard(WorkerId worker, Time now);
  void OnLost(WorkerId worker);
  /// What the core has counted by now, which may be more than before.
  void OnEjections(const core::EjectionCounters& ejections);

  WorkerState StateOf(WorkerId worker, Time now) const {
    return Get(worker).state(now, heartbeat_timeout_);
  }
  const WorkerStatus& Get(WorkerId worker) const {
    return workers_.at(Raw(worker));
  }
  const std::vector<WorkerStatus>& workers() const { return workers_; }
  size_t size() const { return workers_.size(); }

  /// The smallest max_message_bytes that a worker ever had.
  uint64_t smallest_message_limit() const { return smallest_message_limit_; }

 private:
  const Duration heartbeat_timeout_;
  uint64_t ejections_logged_ = 0;
  std::vector<WorkerStatus> workers_;  // by WorkerId
  uint64_t smallest_message_limit_ = UINT64_MAX;
};

}  // namespace parm
