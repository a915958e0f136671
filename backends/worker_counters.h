#pragma once

// What a worker counts; one log line at its end shows it.

#include <cstdint>
#include <string>

namespace parm {

struct WorkerCounters {
  uint64_t tasks = 0;  // taken off the wire with a readable task id
  uint64_t replies_ok = 0;
  uint64_t replies_error = 0;
  uint64_t replies_cancelled = 0;
  uint64_t replies_expired = 0;
  uint64_t messages_malformed = 0;   // refused by the codec, or frames misfit
  uint64_t messages_unexpected = 0;  // well formed, but not for a worker
  uint64_t tasks_duplicate = 0;      // id already here; dropped
  uint64_t tasks_misfit = 0;         // unknown bundle or wrong inputs
  uint64_t tasks_refused = 0;        // queue full, draining, too many peers
  uint64_t tasks_orphaned = 0;       // their frontend went away
  uint64_t model_errors = 0;
  uint64_t non_finite_inputs = 0;
  uint64_t non_finite_outputs = 0;
  uint64_t replies_undelivered = 0;  // peer gone, or it does not read
  uint64_t peers_refused = 0;        // table full of busy ones
  uint64_t handshakes_refused = 0;   // a wrong CURVE key, or none
  uint64_t faults_injected = 0;      // replies dropped, doubled, corrupted, ...

  /// "tasks=12 replies_ok=12": those that are not 0, for the log.
  std::string ToString() const;
};

}  // namespace parm
