#pragma once

// What waits for a lane. Ordinary tasks go before redundant ones; within a
// priority the frontends take turns, and each frontend's tasks leave in the
// order in which they came.

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "backends/task.h"
#include "base/mutex.h"
#include "base/time.h"

namespace parm {

/// Threads: any; the worker loop adds and withdraws, lanes take. Reads no
/// clock: whoever takes a task checks `expires`.
class TaskQueue {
 public:
  /// `max_bytes` of inputs may wait; one task may, whatever its size.
  /// Needs: max_tasks >= 1.
  explicit TaskQueue(size_t max_tasks,
                     uint64_t max_bytes = std::numeric_limits<uint64_t>::max())
      : max_tasks_(max_tasks), max_bytes_(max_bytes) {}

  /// Adds a task. When full, something gives way and is returned, for an error
  /// reply: for an ordinary task the youngest redundant one; else the youngest
  /// task of a frontend that holds more places than this one; else the task
  /// itself. Of bytes there is no place to take: the task itself gives way.
  std::optional<Task> Push(Task task) ABSL_LOCKS_EXCLUDED(mu_);

  /// Waits for a task; nullopt once Close was called.
  std::optional<Task> Pop() ABSL_LOCKS_EXCLUDED(mu_);

  /// Takes back a waiting task; nullopt if it is not here.
  std::optional<Task> Withdraw(TaskKey key) ABSL_LOCKS_EXCLUDED(mu_);

  /// Takes out every task of a frontend that has gone.
  std::vector<Task> WithdrawPeer(PeerId peer) ABSL_LOCKS_EXCLUDED(mu_);

  struct Expired {
    std::vector<Task> tasks;
    Time next_expiry = kNever;  // of those that still wait
  };
  /// Takes out every task that expired by `now`.
  Expired TakeExpired(Time now) ABSL_LOCKS_EXCLUDED(mu_);

  /// Ends every Pop, now and later; what still waits is dropped.
  void Close() ABSL_LOCKS_EXCLUDED(mu_);

  size_t size() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  using PeerTasks = std::deque<Task>;  // never empty inside a Level
  struct Level {
    absl::flat_hash_map<PeerId, PeerTasks> peers;
    std::deque<PeerId> turns;  // each peer of `peers` once
  };

  void AddTo(Level* level, Task task) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Task TakeAt(Level* level, PeerId peer, size_t index)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::optional<PeerId> FullestPeer(const Level& level) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::optional<Task> MakeRoom(const Task& task)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const size_t max_tasks_;
  const uint64_t max_bytes_;
  mutable Mutex mu_;  // Guards what follows.
  CondVar not_empty_;
  std::array<Level, kNumPriorities> levels_ ABSL_GUARDED_BY(mu_);
  size_t size_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t bytes_ ABSL_GUARDED_BY(mu_) = 0;  // of their inputs
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace parm
