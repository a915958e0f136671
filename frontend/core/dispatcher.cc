#include "frontend/core/dispatcher.h"

#include <algorithm>
#include <utility>

#include "base/status_macros.h"
#include "frontend/core/luck.h"

namespace parm::core {

namespace {
// Of the first batch in line.
Time WaitingSince(const Bundle& bundle) {
  const Batch* const first = bundle.waiting.front();
  return first == nullptr ? kNever : first->waiting_since;
}

// With several lanes it is not known when a task that waited began.
bool KnowsBegin(const Task& task, const Worker& worker) {
  return task.begun != Time{} || !task.queued || worker.lanes == 1;
}
}  // namespace

Dispatcher::Dispatcher(CoreState& state, WorkerTable& workers,
                       DispatchObserver& observer)
    : state_(state), workers_(workers), observer_(observer) {
  freed_.reserve(workers.size());
  uint32_t largest_batch = 1;
  for (const ModelOptions& model : state.options.models) {
    largest_batch = std::max(largest_batch, model.max_batch_size);
  }
  inputs_.reserve(std::min(largest_batch, state.options.max_queries));
}

void Dispatcher::Submit(const Turn& turn, Batch& batch) {
  Bundle& bundle = workers_.FindOrAdd(batch.deployed);
  Worker* worker = nullptr;
  if (bundle.waiting.empty() && HasTaskRecord()) {
    worker = workers_.Pick(
        bundle, {.group = observer_.GroupToJoin(batch), .now = turn.now});
  }
  if (worker == nullptr) {
    state_.Mark(RarePath::kBatchWaited);
    StandInLine(turn, batch, bundle, AttemptType::kOriginal);
    return;
  }
  SendBatch(turn, batch, *worker, AttemptType::kOriginal, /*priority=*/0);
}

bool Dispatcher::SendCopy(const Turn& turn, Batch& batch, AttemptType attempt,
                          uint8_t priority, Wait wait, WorkerId avoid) {
  if (batch.num_copies == kMaxCopies || batch.waiting) return false;
  Bundle& bundle = workers_.FindOrAdd(batch.deployed);
  Worker* worker = nullptr;
  if (HasTaskRecord()) {
    worker = workers_.Pick(bundle,
                           {.redundant = priority > 0,
                            .group = batch.group,
                            .copy_of = wait == Wait::kNever ? &batch : nullptr,
                            .avoid = avoid,
                            .now = turn.now});
  }
  if (worker != nullptr) {
    SendBatch(turn, batch, *worker, attempt, priority);
    return true;
  }
  if (wait == Wait::kNever) return false;
  batch.avoid = avoid;
  StandInLine(turn, batch, bundle, attempt);
  return true;
}

void Dispatcher::StandInLine(const Turn& turn, Batch& batch, Bundle& bundle,
                             AttemptType attempt) {
  batch.waiting = true;
  batch.waiting_attempt = attempt;
  batch.waiting_since = turn.now;
  if (batch.stage == BatchStage::kSent) {
    bundle.waiting.PushFront(batch);
  } else {
    batch.stage = BatchStage::kWaiting;
    bundle.waiting.PushBack(batch);
  }
}

void Dispatcher::Withdraw(Batch& batch) {
  Bundle* const bundle = workers_.Find(batch.deployed);
  PARM_CHECK(batch.waiting && bundle != nullptr);
  bundle->waiting.Remove(batch);
  batch.waiting = false;
}

void Dispatcher::Withdraw(Parity& parity) {
  PARM_CHECK(parity.stage == ParityStage::kWaiting);
  parity.bundle->waiting_parities.Remove(parity);
  parity.bundle = nullptr;
  parity.stage = ParityStage::kGone;
}

void Dispatcher::PrepareFirstDispatch(const Turn& turn, Batch& batch) {
  batch.stage = BatchStage::kSent;
  batch.samples = 0;
  batch.query_number = batch.queries.front()->number;
  batch.deadline = Time::min();
  ModelCounters& counters = state_.model_counters(batch.model);
  for (Query* query = batch.queries.front(); query != nullptr;
       query = decltype(batch.queries)::Next(*query)) {
    query->first_sample = batch.samples;
    batch.samples += query->samples;
    batch.deadline = std::max(batch.deadline, query->deadline);
    counters.dispatch_delay.Record(turn.now - query->arrived);
  }
  batch.num_queries = static_cast<uint32_t>(batch.queries.size());
  batch.sent = turn.now;
  batch.trigger = state_.TriggerTime(turn.now, batch);
}

Task& Dispatcher::NewTask(const Turn& turn, Worker& worker, ModelId model,
                          AttemptType attempt, uint8_t priority,
                          uint32_t samples, Time deadline) {
  Task* const task = state_.tasks.Allocate();
  PARM_CHECK(task != nullptr);
  task->worker = worker.id;
  task->model = model;
  task->attempt = attempt;
  task->redundant = priority > 0;
  task->samples = samples;
  task->deadline = deadline;
  task->copy.dispatched = turn.now;
  task->queued = worker.outstanding >= worker.lanes;
  worker.tasks.PushBack(*task);
  ++worker.outstanding;
  worker.outstanding_samples += samples;
  worker.outstanding_redundant += task->redundant ? 1 : 0;
  WorkerTable::Recount(worker);
  ++state_.model_counters(model).tasks[static_cast<size_t>(attempt)];
  ++state_.in_flight[Raw(model)][static_cast<size_t>(attempt)];
  state_.timers.Arm(
      &task->timer,
      std::max(turn.now, deadline) + state_.options.heartbeat_timeout,
      TimerKind::kTaskEnd, Slab<Task>::IndexOf(*task));
  return *task;
}

void Dispatcher::SendBatch(const Turn& turn, Batch& batch, Worker& worker,
                           AttemptType attempt, uint8_t priority) {
  const bool first = batch.stage != BatchStage::kSent;
  if (first) PrepareFirstDispatch(turn, batch);
  Task& task = NewTask(turn, worker, batch.model, attempt, priority,
                       batch.samples, batch.deadline);
  task.batch = &batch;
  task.trigger = &state_.trigger(batch.model, batch.samples);
  task.trigger->Dispatched(task.copy, turn.now);
  batch.copies[batch.num_copies++] = &task;
  batch.worker = worker.id;
  batch.tried[batch.num_sent % kMaxCopies] = worker.id;
  inputs_.clear();
  for (const Query* query = batch.queries.front(); query != nullptr;
       query = decltype(batch.queries)::Next(*query)) {
    inputs_.push_back(query->input);
  }
  turn.out.Emit(DispatchTask{.task = TaskId{task.slab_id},
                             .worker = worker.id,
                             .bundle = batch.deployed,
                             .model = batch.model,
                             .attempt = attempt,
                             .luck = LuckOf({.model = batch.model,
                                             .query_number = batch.query_number,
                                             .copy = batch.num_sent++}),
                             .priority = priority,
                             .deadline = batch.deadline,
                             .inputs = inputs_});
  if (first) observer_.OnFirstDispatch(turn, batch);
}

void Dispatcher::SubmitParity(const Turn& turn, Parity& parity) {
  const LayoutKey& key = parity.group->key;
  Bundle* const bundle =
      workers_.FindParity(key, parity.index, state_.unit(key));
  if (bundle == nullptr || !WorkerTable::AnyTakesTasks(*bundle)) {
    parity.stage = ParityStage::kGone;
    observer_.OnParityUnplaced(turn, parity);
    return;
  }
  Worker* worker = nullptr;
  if (HasTaskRecord()) {
    worker = workers_.Pick(*bundle, {.redundant = parity.priority > 0,
                                     .group = parity.group,
                                     .now = turn.now});
  }
  if (worker != nullptr &&
      WorkerTable::MayTakePart(*worker, *bundle, *parity.group)) {
    SendParity(turn, parity, *bundle, *worker);
    return;
  }
  state_.Mark(RarePath::kParityWaited);
  parity.stage = ParityStage::kWaiting;
  parity.bundle = bundle;
  bundle->waiting_parities.PushBack(parity);
}

void Dispatcher::SendParity(const Turn& turn, Parity& parity, Bundle& bundle,
                            Worker& worker) {
  const Group& group = *parity.group;
  Task& task = NewTask(turn, worker, group.key.model, AttemptType::kParity,
                       parity.priority, group.key.samples, group.deadline);
  task.parity = &parity;
  task.charged = std::exchange(parity.charged, Duration{0});
  task.trigger = &state_.parity_times(group.key.model, group.key.samples);
  task.trigger->Dispatched(task.copy, turn.now);
  parity.task = &task;
  parity.worker = worker.id;
  parity.role = bundle.served.role;
  parity.stage = ParityStage::kSent;
  turn.out.Emit(DispatchTask{.task = TaskId{task.slab_id},
                             .worker = worker.id,
                             .bundle = bundle.served.bundle,
                             .model = group.key.model,
                             .attempt = AttemptType::kParity,
                             .luck = LuckOf({.model = group.key.model,
                                             .query_number = group.query_number,
                                             .part = 1U + parity.index,
                                             .copy = parity.num_sent++}),
                             .priority = parity.priority,
                             .deadline = group.deadline,
                             .inputs = absl::MakeConstSpan(&parity.query, 1)});
}

void Dispatcher::Cancel(const Turn& turn, Task& task) {
  if (task.cancelled) return;
  task.cancelled = true;
  ++state_.counters.tasks_cancelled;
  turn.out.Emit(
      CancelTask{.task = TaskId{task.slab_id}, .worker = task.worker});
}

void Dispatcher::Orphan(Task& task) {
  if (task.batch != nullptr) {
    Batch& batch = *task.batch;
    const auto copies = batch.copies.begin();
    const auto end = copies + batch.num_copies;
    const auto found = std::find(copies, end, &task);
    PARM_CHECK(found != end);
    std::copy(found + 1, end, found);
    batch.copies[--batch.num_copies] = nullptr;
    task.batch = nullptr;
  }
  if (task.parity != nullptr) {
    task.parity->task = nullptr;
    task.parity = nullptr;
  }
}

void Dispatcher::FreeSlot(Task& task) {
  if (!task.holds_slot) return;
  task.holds_slot = false;
  --state_.in_flight[Raw(task.model)][static_cast<size_t>(task.attempt)];
  Worker& worker = workers_.at(task.worker);
  --worker.outstanding;
  worker.outstanding_samples -= task.samples;
  worker.outstanding_redundant -= task.redundant ? 1 : 0;
  WorkerTable::Recount(worker);
  NoteRoom(worker);
}

bool Dispatcher::HasTaskRecord() {
  starved_ |= state_.tasks.full();
  return !state_.tasks.full();
}

void Dispatcher::NoteRun(const Turn& turn, const Task& task, Outcome outcome,
                         bool is_lost) {
  if (!AsksForRuns(state_.model_options(task.model).policy)) return;
  const Worker& worker = workers_.at(task.worker);
  if (!KnowsBegin(task, worker)) return;
  RunTimes& runs = task.attempt == AttemptType::kParity
                       ? state_.parity_runs(task.model, task.samples)
                       : state_.run_times(task.model, task.samples);
  const Duration run = turn.now - WorkerTable::BegunAt(task, worker);
  if (outcome == Outcome::kAnswered) {
    runs.Replied(run);
  } else if (is_lost) {
    runs.Ended(run);
  }
}

void Dispatcher::NotePace(const Turn& turn, const Task& task) {
  Worker& worker = workers_.at(task.worker);
  const auto& delays = task.trigger->DelaysAt(turn.now);
  const Duration median = delays ? delays->median : Duration{0};
  if (median > Duration{0} && KnowsBegin(task, worker)) {
    const Duration took = turn.now - WorkerTable::BegunAt(task, worker);
    worker.pace.OnAnswer(turn.now, ToSeconds(took) / ToSeconds(median));
  }
  if (workers_.balancing().choice == WorkerChoice::kPeakEwma) {
    worker.ewma.OnAnswer(turn.now, turn.now - task.copy.dispatched,
                         workers_.balancing().decay_time);
  }
  worker.last_answered = turn.now;
  if (worker.begins == Begins::kUnknown && task.begun == Time{}) {
    worker.begins = Begins::kUntold;
  }
}

std::optional<Duration> Dispatcher::ServiceOf(const Turn& turn,
                                              const Task& task,
                                              const Worker& worker,
                                              const TaskReplied& reply) {
  // What a worker says is believed as far as it can be true.
  const Duration age = turn.now - task.copy.dispatched;
  if (reply.compute > Duration{0}) return std::min(reply.compute, age);
  const bool withdrawn = reply.status == TaskStatus::kCancelled ||
                         reply.status == TaskStatus::kExpired;
  if (withdrawn && task.begun == Time{}) {
    // At an idle lane of a server that never says when it begins it has begun
    // all the same, and runs on: what it takes is not told.
    if (!worker.tells_begins() && !task.queued) return std::nullopt;
    return Duration{0};
  }
  if (!KnowsBegin(task, worker)) return std::nullopt;
  return turn.now - WorkerTable::BegunAt(task, worker);
}

void Dispatcher::NoteService(const Task& task, Outcome outcome,
                             std::optional<Duration> service) {
  if (outcome == Outcome::kAnswered && task.attempt != AttemptType::kParity) {
    ServiceMean& mean = state_.service_mean(task.model, task.samples);
    if (service) {
      mean.Record(*service);
    } else {
      service = mean.value();
    }
  }
  HedgeCounters& counters = state_.model_counters(task.model).hedge;
  if (IsExtra(task.attempt)) {
    counters.extra_service +=
        service.value_or(task.charged.value_or(Duration{0}));
  } else {
    counters.ordinary_service += service.value_or(Duration{0});
  }
  observer_.OnTaskEnded(task, service);
}

void Dispatcher::End(const Turn& turn, Task& task, Outcome outcome,
                     std::optional<Duration> service) {
  Orphan(task);
  FreeSlot(task);
  NoteService(task, outcome, service);
  NoteRun(turn, task, outcome, /*is_lost=*/!service.has_value());
  if (outcome == Outcome::kAnswered) NotePace(turn, task);
  workers_.at(task.worker).tasks.Remove(task);
  if (outcome == Outcome::kAnswered) {
    task.trigger->Replied(task.copy, turn.now);
  } else {
    task.trigger->Ended(task.copy, turn.now);
  }
  state_.timers.Disarm(&task.timer);
  state_.tasks.Free(&task);
  if (!starved_) return;
  starved_ = false;
  for (uint32_t i = 0; i < workers_.size(); ++i) {
    NoteRoom(workers_.at(WorkerId{i}));
  }
}

bool Dispatcher::OnTaskTimer(const Turn& turn, Task& task) {
  const Time horizon = task.deadline + state_.options.feedback_horizon;
  const bool awaited = task.batch != nullptr || task.parity != nullptr;
  if (task.holds_slot) state_.Mark(RarePath::kTaskSlotGivenUp);
  if (awaited && turn.now < horizon) {
    FreeSlot(task);
    state_.timers.Arm(&task.timer, horizon, TimerKind::kTaskEnd,
                      Slab<Task>::IndexOf(task));
    return false;
  }
  if (awaited) state_.Mark(RarePath::kTaskRecordGivenUp);
  End(turn, task, Outcome::kNoAnswer);
  return true;
}

void Dispatcher::NoteRoom(Worker& worker) {
  if (worker.freed) return;
  worker.freed = true;
  freed_.push_back(&worker);
}

void Dispatcher::NoteRoomBeside(const Worker& worker) {
  for (const Bundle* bundle : worker.bundles) {
    for (Worker* other : bundle->workers) NoteRoom(*other);
  }
}

bool Dispatcher::Pump(const Turn& turn) {
  BundleList stirred;
  for (; !freed_.empty(); freed_.pop_back()) {
    Worker& worker = *freed_.back();
    worker.freed = false;
    for (Bundle* const bundle : worker.bundles) {
      const bool anything =
          !bundle->waiting.empty() || !bundle->waiting_parities.empty();
      if (anything && !bundle->stirred.linked) stirred.PushBack(*bundle);
    }
  }
  bool sent = false;
  // Redundant work yields: parity queries of all lines come after the batches.
  BundleList for_parities;
  while (!stirred.empty()) {
    Bundle* oldest = stirred.front();
    for (Bundle* bundle = oldest; bundle != nullptr;
         bundle = BundleList::Next(*bundle)) {
      if (WaitingSince(*bundle) < WaitingSince(*oldest)) oldest = bundle;
    }
    if (SendNextBatch(turn, *oldest)) {
      sent = true;
    } else {
      stirred.Remove(*oldest);
      for_parities.PushBack(*oldest);
    }
  }
  while (Bundle* const bundle = for_parities.PopFront()) {
    while (SendNextParity(turn, *bundle)) sent = true;
  }
  return sent;
}

bool Dispatcher::SendNextBatch(const Turn& turn, Bundle& bundle) {
  int looked_at = 0;
  for (Batch* batch = bundle.waiting.front();
       batch != nullptr && looked_at < kLookahead && HasTaskRecord();
       batch = decltype(bundle.waiting)::Next(*batch), ++looked_at) {
    const bool avoids = batch->avoid != kNoWorker &&
                        WorkerTable::AnyTakesTasks(bundle, batch->avoid);
    const bool first = batch->stage != BatchStage::kSent;
    Worker* const worker = workers_.Pick(
        bundle, {.group = first ? observer_.GroupToJoin(*batch) : batch->group,
                 .avoid = avoids ? batch->avoid : kNoWorker,
                 .now = turn.now});
    if (worker != nullptr) {
      Withdraw(*batch);
      SendBatch(turn, *batch, *worker, batch->waiting_attempt, /*priority=*/0);
      return true;
    }
    if (!avoids) return false;  // nobody has a slot
  }
  return false;
}

bool Dispatcher::SendNextParity(const Turn& turn, Bundle& bundle) {
  int looked_at = 0;
  for (Parity* parity = bundle.waiting_parities.front();
       parity != nullptr && looked_at < kLookahead && HasTaskRecord();
       parity = decltype(bundle.waiting_parities)::Next(*parity), ++looked_at) {
    Worker* const worker = workers_.Pick(
        bundle, {.redundant = true, .group = parity->group, .now = turn.now});
    if (worker == nullptr) return false;  // nobody has a slot
    if (!WorkerTable::MayTakePart(*worker, bundle, *parity->group)) continue;
    bundle.waiting_parities.Remove(*parity);
    parity->bundle = nullptr;
    SendParity(turn, *parity, bundle, *worker);
    return true;
  }
  return false;
}

}  // namespace parm::core
