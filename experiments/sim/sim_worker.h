#pragma once

// One simulated worker process: lanes, two queues (redundant tasks run only
// when no ordinary one waits), withdrawal of queued tasks, and the ways in
// which a process can misbehave. It answers every task exactly once; what the
// network loses or repeats is the simulator's.

#include <algorithm>
#include <cstdint>
#include <deque>
#include <vector>

#include "base/ids.h"
#include "base/time.h"
#include "experiments/sim/buffer_book.h"
#include "experiments/sim/draws.h"
#include "experiments/sim/job_law.h"
#include "experiments/sim/scenario.h"
#include "frontend/core/action.h"
#include "frontend/core/event.h"

namespace parm::sim {

struct SimTask {
  TaskId task{};
  Content input = 0;
  uint32_t rows = 0;
  uint32_t work = 1;  // samples to compute
  bool redundant = false;
  BundleKey bundle{};
  core::AttemptType attempt{};
  Time deadline{};
  uint64_t luck = 0;        // DispatchTask::luck
  Duration service{0};      // of the job's plan, once it has begun
  uint8_t frontend = 0;     // whose task it is
  Duration reply_delay{0};  // of the job's plan
};

enum class TaskError : uint8_t { kNone, kRetryable, kPermanent };

/// What a worker can cause.
class WorkerSurroundings {
 public:
  virtual ~WorkerSurroundings() = default;
  /// ServiceDone(lane, epoch) is called after `span`.
  virtual void ScheduleDone(uint32_t worker, uint32_t lane, uint32_t epoch,
                            Duration span) = 0;
  virtual void SendStarted(uint32_t worker, const SimTask& task) = 0;
  virtual void SendReply(uint32_t worker, const SimTask& task,
                         core::TaskStatus status, bool retryable) = 0;
};

class SimWorker {
 public:
  /// All outlive the worker.
  SimWorker(uint32_t index, const Scenario& scenario, const Draws& draws,
            WorkerSurroundings& surroundings);

  void OnTask(Time now, const SimTask& task);
  void OnCancel(Time now, TaskId task, uint8_t frontend);
  void OnServiceDone(Time now, uint32_t lane, uint32_t epoch);

  /// Everything is forgotten; Start begins another process.
  void Kill();
  void Start();
  /// SIGSTOP: it hears, computes and says nothing until Resume.
  void Pause() { paused_ = true; }
  void Resume(Time now);
  /// Refuses new tasks.
  void Drain() { draining_ = true; }
  /// Answers new tasks at once with this error; kNone: serves them again.
  void FailTasks(TaskError error) { fails_ = error; }
  /// No faults from here on.
  void Behave() { behaves_ = true; }

  bool running() const { return running_; }
  bool responsive() const { return running_ && !paused_; }
  uint64_t nonce() const { return nonce_; }
  uint32_t queue_depth() const {
    return static_cast<uint32_t>(ordinary_.size() + redundant_.size());
  }
  uint32_t in_flight() const {
    return static_cast<uint32_t>(
        std::count_if(lanes_.begin(), lanes_.end(),
                      [](const Lane& lane) { return lane.busy; }));
  }
  uint64_t num_tasks() const { return num_tasks_; }

 private:
  struct Lane {
    bool busy = false;
    bool finished_while_paused = false;
    uint32_t epoch = 0;
    SimTask task;
  };

  void StartNext(Time now);
  void Begin(Time now, uint32_t lane, const SimTask& task);
  void Finish(Lane& lane);
  Duration ServiceTime(const SimTask& task) const;

  const uint32_t index_;
  const Scenario& scenario_;
  const Draws& draws_;
  WorkerSurroundings& surroundings_;
  bool running_ = true;
  bool paused_ = false;
  bool draining_ = false;
  TaskError fails_ = TaskError::kNone;
  bool behaves_ = false;
  uint64_t nonce_ = 1;
  uint64_t num_tasks_ = 0;
  std::vector<Lane> lanes_;
  std::deque<SimTask> ordinary_;
  std::deque<SimTask> redundant_;
  std::deque<SimTask> inbox_;  // arrived while paused
};

}  // namespace parm::sim
