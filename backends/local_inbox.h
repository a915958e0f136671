#pragma once

// Tasks that reach a worker by another door than its ZeroMQ socket, on their
// way to the worker loop. The loop drains it when its outbox wakes it.

#include <cstddef>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "backends/outbox.h"
#include "backends/task.h"
#include "base/mutex.h"

namespace parm {

struct LocalTask {
  const ServedBundle* bundle = nullptr;  // outlives the task
  std::vector<ModelTensor> inputs;       // from ArrangeInputs
  /// Called once, on the loop's thread, and must not block; never called for a
  /// reply that a `drop` fault swallows.
  std::function<void(const TaskFinished&)> done;
};

/// Bound:   max_tasks.
/// Threads: any; `done` of what Close returns is the caller's to call.
class LocalInbox {
 public:
  explicit LocalInbox(size_t max_tasks) : max_tasks_(max_tasks) {}

  /// Errors: kResourceExhausted if it is full; kUnavailable once it is closed.
  absl::Status Push(LocalTask task) ABSL_LOCKS_EXCLUDED(mu_);

  std::vector<LocalTask> Drain() ABSL_LOCKS_EXCLUDED(mu_);

  /// Refuses what comes from here on, and returns what nobody drained.
  std::vector<LocalTask> Close() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  const size_t max_tasks_;
  Mutex mu_;  // Guards what follows.
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<LocalTask> tasks_ ABSL_GUARDED_BY(mu_);
};

}  // namespace parm
