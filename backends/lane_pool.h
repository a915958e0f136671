#pragma once

// The lanes of a worker: threads that compute one task at a time, each as long
// as its bundle's pace and the configured faults say. They take tasks from the
// queue and report to the outbox; they know no socket.

#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "backends/faults.h"
#include "backends/keyed_draws.h"
#include "backends/outbox.h"
#include "backends/task_queue.h"
#include "base/mutex.h"
#include "base/time.h"

namespace parm {

class ServedBundle;

/// Threads: constructed and destroyed by one thread.
class LanePool {
 public:
  struct Options {
    int num_lanes = 1;
    Faults faults;
    KeyedDraws draws;  // for service times
    Time start;        // fault windows count from it
    /// Run by each lane before it takes tasks: much of what the first runs of a
    /// model make is a thread's own. They outlive this.
    std::vector<const ServedBundle*> bundles;
  };

  /// Starts the lanes and waits until they are warm. `queue` and `outbox`
  /// outlive this.
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
  Mutex mu_;  // Guards what follows, up to the threads.
  CondVar lane_is_warm_;
  int num_warm_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<std::thread> threads_;
};

}  // namespace parm
