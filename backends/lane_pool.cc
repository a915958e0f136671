#include "backends/lane_pool.h"

#include <sys/prctl.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "backends/finite_check.h"
#include "backends/served_bundle.h"

namespace parm {
namespace {

Time Now() { return std::chrono::steady_clock::now(); }

// Absolute, so that the time to get here does not lengthen the task.
void SleepUntil(Time time) {
  const int64_t ns = Duration(time.time_since_epoch()).count();
  const timespec at = {.tv_sec = ns / 1'000'000'000,
                       .tv_nsec = ns % 1'000'000'000};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, nullptr) ==
         EINTR) {
  }
}

bool AnyNonFinite(const std::vector<ModelTensor>& tensors) {
  return std::any_of(tensors.begin(), tensors.end(),
                     [](const ModelTensor& tensor) {
                       return !AllFinite(tensor.datatype, tensor.bytes.bytes());
                     });
}

}  // namespace

LanePool::LanePool(const Options& options, TaskQueue* queue, Outbox* outbox)
    : options_(options), queue_(queue), outbox_(outbox) {
  for (int i = 0; i < options_.num_lanes; ++i) {
    threads_.emplace_back([this] { RunLane(); });
  }
  MutexLock lock(&mu_);
  while (num_warm_ < options_.num_lanes) lane_is_warm_.Wait(&mu_);
}

LanePool::~LanePool() {
  queue_->Close();
  for (std::thread& thread : threads_) thread.join();
}

void LanePool::RunLane() {
  // Linux may wake a sleeper 50 us late, to save power; paced replies are
  // measured, so ask for 1 us.
  prctl(PR_SET_TIMERSLACK, 1000);
  for (const ServedBundle* const bundle : options_.bundles) {
    // That it can be run was seen when it was made.
    bundle->WarmUp().IgnoreError();
  }
  {
    MutexLock lock(&mu_);
    ++num_warm_;
  }
  lane_is_warm_.Signal();
  while (true) {
    const std::optional<Task> task = queue_->Pop();
    if (!task.has_value()) return;
    const Time start = Now();
    if (task->expires <= start) {
      outbox_->Post(TaskFinished{.key = task->key,
                                 .bundle = task->bundle,
                                 .status = wire::EXPIRED,
                                 .queued = start - task->arrived});
      continue;
    }
    outbox_->Post(TaskStarted{task->key});
    outbox_->Post(RunTask(*task, start));
  }
}

TaskFinished LanePool::RunTask(const Task& task, Time start) const {
  const ServedBundle& bundle = *task.bundle;
  TaskFinished finished{
      .key = task.key,
      .luck = task.luck,
      .bundle = task.bundle,
      .started = true,
      .queued = start - task.arrived,
      .faults = options_.faults.Plan(task.luck, start - options_.start)};
  if (finished.faults.error) {
    // At once, as a broken server does: it must look fast to a balancer.
    finished.status = wire::ERROR;
    finished.error = "error injected by the worker's faults";
    finished.retryable = true;
    return finished;
  }
  // Before the model runs, for it may compute in place.
  finished.non_finite_input = AnyNonFinite(task.inputs);
  absl::StatusOr<std::vector<ModelTensor>> outputs = bundle.Run(task.inputs);
  if (!outputs.ok()) {
    finished.status = wire::ERROR;
    const absl::string_view message = outputs.status().message();
    finished.error = std::string(message);
  } else {
    finished.status = wire::OK;
    finished.outputs = *std::move(outputs);
    finished.non_finite_output = AnyNonFinite(finished.outputs);
  }

  Duration service = Now() - start;
  if (bundle.pace().has_value()) {
    service = DrawServiceTime(*bundle.pace(), options_.draws, task.luck,
                              bundle.BatchSize(task.inputs));
  }
  if (bundle.pace().has_value() || finished.faults.slow_factor > 1) {
    SleepUntil(start +
               FromSeconds(ToSeconds(service) * finished.faults.slow_factor));
  }
  finished.computed = Now() - start;
  return finished;
}

}  // namespace parm
