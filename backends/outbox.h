#pragma once

// What lanes tell the worker loop: a task has begun, a task has ended. The loop
// sleeps on the file descriptor together with its socket.

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "backends/faults.h"
#include "backends/task.h"
#include "base/mutex.h"
#include "proto/envelope.pb.h"

namespace parm {

struct TaskStarted {
  TaskKey key;
};

/// The one end of a task that a lane took.
struct TaskFinished {
  TaskKey key;
  Luck luck{};  // of the task
  const ServedBundle* bundle = nullptr;
  wire::ReplyStatus status = wire::REPLY_STATUS_UNSPECIFIED;
  std::string error;  // with ERROR
  bool retryable = false;
  bool started = false;
  Duration queued{0};
  Duration computed{0};
  std::vector<ModelTensor> outputs;  // with OK
  bool non_finite_input = false;
  bool non_finite_output = false;
  FaultPlan faults;
};

using LaneEvent = std::variant<TaskStarted, TaskFinished>;

/// Bound:   two events per task, and the queue bounds tasks.
/// Threads: Post and Wake from any; Drain from the loop alone.
class Outbox {
 public:
  /// Errors: kResourceExhausted if the system has no file descriptor left.
  static absl::StatusOr<std::unique_ptr<Outbox>> Create();
  ~Outbox();
  Outbox(const Outbox&) = delete;
  Outbox& operator=(const Outbox&) = delete;

  void Post(LaneEvent event) ABSL_LOCKS_EXCLUDED(mu_);

  /// Makes the file descriptor readable. Async-signal-safe.
  void Wake() const;

  /// Moves everything posted into `events`, which is cleared first.
  void Drain(std::vector<LaneEvent>* events) ABSL_LOCKS_EXCLUDED(mu_);

  /// Readable when Drain has something, or after Wake.
  int wake_fd() const { return wake_fd_; }

 private:
  explicit Outbox(int wake_fd) : wake_fd_(wake_fd) {}

  const int wake_fd_;
  Mutex mu_;  // Guards what follows.
  std::vector<LaneEvent> events_ ABSL_GUARDED_BY(mu_);
};

}  // namespace parm
