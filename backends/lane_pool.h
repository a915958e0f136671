#pragma once

// The lanes of a worker: threads that compute one task at a time, each as long
// as its bundle's pace and the configured faults say. They take tasks from the
// queue and report to the outbox; they know no socket.

#include <thread>
#include <vector>

#include "backends/faults.h"
#include "backends/keyed_draws.h"
#include "backends/outbox.h"
#include "backends/task_queue.h"
#include "base/time.h"

namespace parm {

/// Threads: constructed and destroyed by one thread.
class LanePool {
 public:
  struct Options {
    int num_lanes = 1;
    Faults faults;
    KeyedDraws draws;  // for service times
    Time start;        // fault windows count from it
  };

  /// Starts the lanes. `queue` and `outbox` outlive this.
  LanePool(const Options& options, TaskQueue* queue, Outbox* outbox);

  /// Closes the queue and waits for the tasks that run.
  ~LanePool();
  LanePool(const LanePool&) = delete;
  LanePool& operator=(const LanePool&) = delete;

 private:
  void RunLane();
  TaskFinished RunTask(const Task& task, Time start) const;

  const Options options_;
  TaskQueue* const queue_;
  Outbox* const outbox_;
  std::vector<std::thread> threads_;
};

}  // namespace parm
