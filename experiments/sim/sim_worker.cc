#include "experiments/sim/sim_worker.h"

#include <algorithm>

namespace parm::sim {

using core::TaskStatus;

namespace {
// Which of several fates a task meets, all from its luck.
enum Fate : uint64_t { kSlow = 1, kError, kRetryable, kSpread };
}  // namespace

SimWorker::SimWorker(uint32_t index, const Scenario& scenario,
                     const Draws& draws, WorkerSurroundings& surroundings)
    : index_(index),
      scenario_(scenario),
      draws_(draws),
      surroundings_(surroundings),
      lanes_(scenario.workers[index].lanes) {}

void SimWorker::OnTask(Time now, const SimTask& task) {
  if (!running_) return;
  if (paused_) {
    inbox_.push_back(task);
    return;
  }
  ++num_tasks_;
  if (draining_ || fails_ != TaskError::kNone) {
    surroundings_.SendReply(
        index_, task, TaskStatus::kError,
        /*retryable=*/draining_ || fails_ == TaskError::kRetryable);
    return;
  }
  (task.redundant ? redundant_ : ordinary_).push_back(task);
  StartNext(now);
}

void SimWorker::OnCancel(Time /*now*/, TaskId task, uint8_t frontend) {
  if (!responsive()) return;
  for (std::deque<SimTask>* queue : {&ordinary_, &redundant_}) {
    const auto found =
        std::find_if(queue->begin(), queue->end(), [&](const SimTask& t) {
          return t.task == task && t.frontend == frontend;
        });
    if (found == queue->end()) continue;
    const SimTask cancelled = *found;
    queue->erase(found);
    surroundings_.SendReply(index_, cancelled, TaskStatus::kCancelled, false);
    return;
  }
}

void SimWorker::StartNext(Time now) {
  for (uint32_t lane = 0; lane < lanes_.size(); ++lane) {
    while (!lanes_[lane].busy && (!ordinary_.empty() || !redundant_.empty())) {
      std::deque<SimTask>& queue = ordinary_.empty() ? redundant_ : ordinary_;
      const SimTask task = queue.front();
      queue.pop_front();
      if (task.deadline <= now) {
        surroundings_.SendReply(index_, task, TaskStatus::kExpired, false);
      } else {
        Begin(now, lane, task);
      }
    }
  }
}

Duration SimWorker::ServiceTime(const SimTask& task) const {
  const double spread =
      1 +
      scenario_.service_spread *
          (2 * draws_.Unit(Purpose::kService, task.luck, Fate::kSpread) - 1);
  double factor = spread * task.work;
  if (!behaves_ && draws_.Happens(scenario_.faults.slow, Purpose::kFate,
                                  task.luck, Fate::kSlow)) {
    factor *= scenario_.faults.slow_factor;
  }
  return FromSeconds(ToSeconds(scenario_.service) * factor);
}

void SimWorker::Begin(Time now, uint32_t lane, const SimTask& task) {
  const JobPlan plan = scenario_.job_law != nullptr
                           ? scenario_.job_law->Plan(now, index_, task)
                           : JobPlan{.service = ServiceTime(task)};
  lanes_[lane].busy = true;
  lanes_[lane].task = task;
  lanes_[lane].task.service = plan.service;
  lanes_[lane].task.reply_delay = plan.reply_delay;
  surroundings_.SendStarted(index_, task);
  surroundings_.ScheduleDone(index_, lane, lanes_[lane].epoch, plan.service);
}

void SimWorker::OnServiceDone(Time now, uint32_t lane, uint32_t epoch) {
  Lane& done = lanes_[lane];
  if (!running_ || done.epoch != epoch || !done.busy) return;
  if (paused_) {
    done.finished_while_paused = true;
    return;
  }
  Finish(done);
  StartNext(now);
}

void SimWorker::Finish(Lane& lane) {
  lane.busy = false;
  lane.finished_while_paused = false;
  const SimTask& task = lane.task;
  const FaultRates& faults = scenario_.faults;
  const bool permanent =
      !behaves_ && draws_.Happens(faults.permanent_error, Purpose::kFate,
                                  task.luck, Fate::kError);
  const bool retryable =
      !behaves_ && draws_.Happens(faults.retryable_error, Purpose::kFate,
                                  task.luck, Fate::kRetryable);
  surroundings_.SendReply(
      index_, task,
      permanent || retryable ? TaskStatus::kError : TaskStatus::kOk, retryable);
}

void SimWorker::Kill() {
  running_ = false;
  paused_ = false;
  ordinary_.clear();
  redundant_.clear();
  inbox_.clear();
  for (Lane& lane : lanes_) {
    lane.busy = false;
    lane.finished_while_paused = false;
    ++lane.epoch;
  }
}

void SimWorker::Start() {
  running_ = true;
  draining_ = false;
  ++nonce_;
}

void SimWorker::Resume(Time now) {
  if (!paused_) return;
  paused_ = false;
  for (Lane& lane : lanes_) {
    if (lane.busy && lane.finished_while_paused) Finish(lane);
  }
  std::deque<SimTask> arrived;
  arrived.swap(inbox_);
  for (const SimTask& task : arrived) OnTask(now, task);
  StartNext(now);
}

}  // namespace parm::sim
