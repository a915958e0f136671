#include "frontend/core/core_engine.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "base/status_macros.h"

namespace parm::core {

CoreEngine::CoreEngine(CoreOptions options, const PolicyFactory& create_policy)
    : state_(std::move(options)),
      workers_(state_.options.num_workers, state_.options.balancing),
      ejection_(state_.options.ejection, workers_, state_.counters.ejections),
      batcher_(state_, *this),
      dispatcher_(state_, workers_, *this),
      builder_(state_),
      answers_(state_, workers_, batcher_, dispatcher_),
      resolver_(state_, workers_, ejection_, dispatcher_, answers_, *this),
      reviewer_(state_, dispatcher_, answers_, *this),
      host_(state_, workers_, dispatcher_),
      worker_timers_(state_.options.num_workers) {
  for (const ModelOptions& model : state_.options.models) {
    policies_.push_back(create_policy(model));
  }
}

void CoreEngine::Handle(Time now, const Event& event, ActionSink& out) {
  const Turn turn{.now = now, .out = out};
  NoteStall(now);
  RunEjection(turn);
  // What was due before this event comes first, so that an answer at its
  // deadline does not depend on what else arrives.
  RunTimers(turn);
  std::visit([&](const auto& happened) { On(turn, happened); }, event);
  // Freeing work makes room, and sending work touches groups: go on until both
  // are done, and so is what was put off until now. Each round answers, sends
  // or frees something, so it ends.
  while (reviewer_.Run(turn) || dispatcher_.Pump(turn) || RunTimers(turn)) {
  }
  AskForWake(turn);
}

CoreSizes CoreEngine::sizes() const {
  return {.queries = state_.queries.size(),
          .batches = state_.batches.size(),
          .tasks = state_.tasks.size(),
          .groups = state_.groups.size(),
          .open_groups = builder_.num_open(),
          .timers = state_.timers.size(),
          .buffered_bytes = state_.buffered_bytes};
}

std::optional<AnswerError> CoreEngine::WhyNot(const Turn& turn,
                                              const QueryArrived& event) {
  CoreCounters& counters = state_.counters;
  if (state_.draining) {
    state_.Mark(RarePath::kShedDraining);
    return AnswerError::kDraining;
  }
  if (event.deadline <= turn.now) return AnswerError::kDeadlineExceeded;
  if (state_.open_queries >= state_.options.max_queries) {
    state_.Mark(RarePath::kShedQueries);
    ++counters.shed_queries;
    return AnswerError::kOverloaded;
  }
  if (state_.buffered_bytes + event.bytes > state_.options.max_buffered_bytes) {
    state_.Mark(RarePath::kShedBytes);
    ++counters.shed_bytes;
    return AnswerError::kOverloaded;
  }
  const Bundle* const bundle = workers_.Find(event.deployed);
  if (bundle == nullptr || bundle->workers.empty()) {
    state_.Mark(RarePath::kNoWorkerAtOnce);
    return AnswerError::kNoWorker;
  }
  // Without a free group or task record a query is served all the same.
  if (state_.queries.full() || state_.batches.full()) {
    state_.Mark(RarePath::kShedTableFull);
    ++counters.shed_queries;
    return AnswerError::kOverloaded;
  }
  return std::nullopt;
}

void CoreEngine::On(const Turn& turn, const QueryArrived& event) {
  PARM_CHECK(Raw(event.model) < state_.options.models.size());
  PARM_CHECK(event.unit == 0 ||
             event.unit < state_.units[Raw(event.model)].size());
  // Refused ones count too: who is refused depends on policy and timing.
  const uint64_t number = ++state_.num_arrived[Raw(event.model)];
  if (const std::optional<AnswerError> error = WhyNot(turn, event)) {
    answers_.Refuse(turn, event, *error);
    return;
  }
  Query* const query = state_.queries.Allocate();
  query->id = event.query;
  query->model = event.model;
  query->number = number;
  query->mode = event.mode;
  query->further_attempt = event.further_attempt;
  state_.model_counters(event.model).further_attempts +=
      event.further_attempt ? 1 : 0;
  query->samples = event.samples;
  query->bytes = event.bytes;
  query->input = event.input;
  query->arrived = turn.now;
  query->deadline = event.deadline;
  state_.query_index.Insert(Raw(event.query), query);
  ++state_.open_queries;
  state_.buffered_bytes += event.bytes;
  state_.timers.Arm(&query->timer, event.deadline, TimerKind::kQueryDeadline,
                    Slab<Query>::IndexOf(*query));
  batcher_.Add(turn, *query,
               {.model = event.model,
                .deployed = event.deployed,
                .signature = event.signature,
                .unit = event.unit});
}

void CoreEngine::On(const Turn& turn, const QueryAbandoned& event) {
  Query* const* const found = state_.query_index.Find(Raw(event.query));
  if (found != nullptr) answers_.Abandon(turn, **found);
}

void CoreEngine::On(const Turn& turn, const WorkerUp& event) {
  Worker& worker = workers_.at(event.worker);
  for (const ServedBundle& served : event.bundles) {
    PARM_CHECK(Raw(served.model) < state_.options.models.size());
  }
  if (worker.state != WorkerState::kUnknown && worker.nonce != event.nonce) {
    state_.Mark(RarePath::kWorkerRestarted);
    ++state_.counters.workers_restarted;
    // Not alive while its lost tasks look for a worker.
    workers_.SetState(worker, WorkerState::kDown);
    resolver_.OnWorkerLost(turn, worker);
    worker.pace = {};
    worker.ewma = {};
    worker.begins = Begins::kUnknown;
    ejection_.OnRestart(worker);
  }
  workers_.SetServed(worker, event);
  worker.draining = false;
  workers_.SetState(worker, WorkerState::kAlive);
  worker.unreachable = false;
  worker.last_heard = turn.now;
  worker.penalised_until = Time{};
  ArmWorkerTimer(worker, turn.now + state_.options.heartbeat_timeout);
  dispatcher_.NoteRoom(worker);
}

void CoreEngine::On(const Turn& turn, const WorkerDown& event) {
  Worker& worker = workers_.at(event.worker);
  if (worker.state == WorkerState::kUnknown ||
      worker.state == WorkerState::kDown) {
    return;
  }
  state_.Mark(RarePath::kWorkerLost);
  ++state_.counters.workers_lost;
  workers_.SetState(worker, WorkerState::kDown);
  ejection_.OnUnreachable(turn.now, worker);
  resolver_.OnWorkerLost(turn, worker);
  dispatcher_.NoteRoomBeside(worker);
  ArmWorkerTimer(worker, turn.now + state_.options.probe_interval);
}

void CoreEngine::On(const Turn& turn, const WorkerLeft& event) {
  Worker& worker = workers_.at(event.worker);
  if (worker.state == WorkerState::kUnknown) return;
  // Not alive while tasks that it still had look for another worker.
  workers_.SetState(worker, WorkerState::kDown);
  resolver_.OnWorkerLost(turn, worker);
  ejection_.OnRestart(worker);
  dispatcher_.NoteRoomBeside(worker);
  worker_timers_.Disarm(&worker.timer);
  workers_.Vacate(worker);
}

void CoreEngine::NoteHeard(const Turn& turn, WorkerId id) {
  Worker& worker = workers_.at(id);
  if (worker.state == WorkerState::kUnknown) return;
  worker.last_heard = turn.now;
  if (std::exchange(worker.unreachable, false)) dispatcher_.NoteRoom(worker);
  if (worker.state == WorkerState::kAlive) return;
  state_.Mark(RarePath::kWorkerHeardAgain);
  workers_.SetState(worker, WorkerState::kAlive);
  ArmWorkerTimer(worker, turn.now + state_.options.heartbeat_timeout);
  dispatcher_.NoteRoom(worker);
}

void CoreEngine::On(const Turn& turn, const WorkerHeard& event) {
  NoteHeard(turn, event.worker);
  // Heartbeats from before a stall know nothing of the tasks sent since.
  const bool recent =
      turn.now >= awake_since_ + state_.options.heartbeat_timeout / 2;
  if (recent && event.has_depths && event.queue_depth == 0 &&
      event.in_flight == 0) {
    resolver_.OnWorkerIdle(turn, workers_.at(event.worker));
  }
}

void CoreEngine::On(const Turn& turn, const WorkerDraining& event) {
  Worker& worker = workers_.at(event.worker);
  NoteHeard(turn, event.worker);
  worker.draining = true;
  WorkerTable::Recount(worker);
  dispatcher_.NoteRoomBeside(worker);
}

void CoreEngine::On(const Turn& turn, const TaskStarted& event) {
  NoteHeard(turn, event.worker);
  Task* const task = state_.tasks.Find(Raw(event.task));
  if (task == nullptr || task->worker != event.worker) return;
  if (task->begun != Time{}) return;  // said twice, it would never be late
  task->begun = turn.now;
  workers_.at(event.worker).begins = Begins::kTold;
  Batch* const batch = task->batch;
  if (batch == nullptr || !batch->gets_extra || batch->num_open == 0) return;
  PolicyOf(task->model).OnStarted(turn, *batch, *task, host_);
}

void CoreEngine::On(const Turn& turn, const TaskReplied& event) {
  NoteHeard(turn, event.worker);
  resolver_.OnReply(turn, event);
  WatchPenalty(turn, workers_.at(event.worker));
}

void CoreEngine::On(const Turn& turn, const TaskNotSent& event) {
  resolver_.OnNotSent(turn, event);
  WatchPenalty(turn, workers_.at(event.worker));
}

void CoreEngine::On(const Turn& turn, const ParityEncoded& event) {
  resolver_.OnParityEncoded(turn, event);
}

void CoreEngine::On(const Turn& turn, const MemberDecoded& event) {
  resolver_.OnMemberDecoded(turn, event);
}

void CoreEngine::On(const Turn& /*turn*/, const OutputsCompared& event) {
  PARM_CHECK(Raw(event.model) < state_.options.models.size());
  resolver_.OnCompared(event);
}

void CoreEngine::On(const Turn& /*turn*/, const UnitChosen& event) {
  PARM_CHECK(Raw(event.model) < state_.units.size() &&
             event.unit < state_.units[Raw(event.model)].size());
  RedundancyUnit& unit = state_.units[Raw(event.model)][event.unit];
  unit.answered_by = event.answered_by;
  unit.cost = event.cost > 0 ? event.cost : StatedCost(unit.code->spec());
}

void CoreEngine::On(const Turn& /*turn*/, const TimerFired& /*event*/) {
  // Even if it came early: it will not come again unasked.
  wake_at_ = kNever;
}

void CoreEngine::On(const Turn& turn, const DrainRequested& /*event*/) {
  state_.draining = true;
  batcher_.FlushAll(turn);
}

// Heartbeats come several times per timeout, so a longer gap means that nobody
// sent any, or that the loop did not run and they lie in the sockets.
void CoreEngine::NoteStall(Time now) {
  if (now - last_handled_ > state_.options.heartbeat_timeout / 2) {
    awake_since_ = now;
  }
  last_handled_ = now;
}

bool CoreEngine::RunTimers(const Turn& turn) {
  if (wake_at_ <= turn.now) wake_at_ = kNever;
  bool any = false;
  FiredTimer fired;
  while (worker_timers_.PopDue(turn.now, &fired)) {
    any = true;
    Worker& worker = workers_.at(WorkerId{fired.record});
    worker.timer = TimerHandle{};
    OnWorkerTimer(turn, worker);
  }
  while (state_.timers.PopDue(turn.now, &fired)) {
    any = true;
    Fire(turn, fired);
  }
  return any;
}

void CoreEngine::Fire(const Turn& turn, const FiredTimer& fired) {
  switch (fired.kind) {
    case TimerKind::kQueryDeadline: {
      Query& query = state_.queries.At(fired.record);
      query.timer = TimerHandle{};
      answers_.OnDeadline(turn, query);
      return;
    }
    case TimerKind::kBatchTimeout: {
      Batch& batch = state_.batches.At(fired.record);
      batch.timer = TimerHandle{};
      batcher_.OnTimeout(turn, batch);
      return;
    }
    case TimerKind::kDecodeTrigger: {
      Batch& batch = state_.batches.At(fired.record);
      batch.timer = TimerHandle{};
      state_.Touch(batch);
      return;
    }
    case TimerKind::kPolicy: {
      Batch& batch = state_.batches.At(fired.record);
      batch.policy_timer = TimerHandle{};
      if (batch.num_policy_timers < 255) ++batch.num_policy_timers;
      if (batch.num_open > 0) {
        PolicyOf(batch.model).OnTimer(turn, batch, host_);
      }
      return;
    }
    case TimerKind::kTaskEnd: {
      Task& task = state_.tasks.At(fired.record);
      task.timer = TimerHandle{};
      resolver_.OnTaskTimer(turn, task);
      return;
    }
    case TimerKind::kGroupTimeout: {
      Group& group = state_.groups.At(fired.record);
      group.timer = TimerHandle{};
      CloseGroup(turn, group);
      return;
    }
    case TimerKind::kGroupRelease: {
      Group& group = state_.groups.At(fired.record);
      group.timer = TimerHandle{};
      reviewer_.GiveUp(turn, group);
      return;
    }
    case TimerKind::kWorker:
      return;  // only in worker_timers_
  }
}

// Work may wait for the end of a penalty.
void CoreEngine::WatchPenalty(const Turn& turn, Worker& worker) {
  if (worker.state != WorkerState::kAlive) return;
  if (worker.penalised_until <= turn.now) {
    worker.unreachable = false;
    dispatcher_.NoteRoom(worker);
  } else {
    ArmWorkerTimer(worker, std::min(worker.penalised_until, SilentAt(worker)));
  }
}

void CoreEngine::ArmWorkerTimer(Worker& worker, Time at) {
  worker_timers_.Arm(&worker.timer, at, TimerKind::kWorker, Raw(worker.id));
}

Time CoreEngine::SilentAt(const Worker& worker) const {
  const Duration timeout = state_.options.heartbeat_timeout;
  return std::max(worker.last_heard + timeout, awake_since_ + timeout / 2);
}

void CoreEngine::OnWorkerTimer(const Turn& turn, Worker& worker) {
  if (worker.state == WorkerState::kAlive) {
    const Duration timeout = state_.options.heartbeat_timeout;
    const Time silent_at = SilentAt(worker);
    if (turn.now < silent_at) {
      if (worker.last_heard + timeout > turn.now) {
        ArmWorkerTimer(worker, silent_at);
        WatchPenalty(turn, worker);
        return;
      }
      // Only the stall speaks for it: it is asked, and looked at again soon
      // enough that the wait is not taken for another stall.
      state_.Mark(RarePath::kSilenceExcused);
      ++state_.counters.probes;
      turn.out.Emit(ProbeWorker{.worker = worker.id});
      ArmWorkerTimer(worker, std::min(silent_at, turn.now + timeout / 4));
      return;
    }
    state_.Mark(RarePath::kWorkerSilent);
    ++state_.counters.workers_silent;
    workers_.SetState(worker, WorkerState::kSilent);
    ejection_.OnUnreachable(turn.now, worker);
    resolver_.OnWorkerSilent(turn, worker);
    dispatcher_.NoteRoomBeside(worker);
  }
  ++state_.counters.probes;
  turn.out.Emit(ProbeWorker{.worker = worker.id});
  ArmWorkerTimer(worker, turn.now + state_.options.probe_interval);
}

void CoreEngine::RunEjection(const Turn& turn) {
  if (!ejection_.RunDue(turn.now)) return;
  for (uint32_t i = 0; i < workers_.size(); ++i) {
    dispatcher_.NoteRoom(workers_.at(WorkerId{i}));
  }
}

void CoreEngine::AskForWake(const Turn& turn) {
  const Time earliest =
      std::min({state_.timers.Earliest(), worker_timers_.Earliest(),
                ejection_.next_trial()});
  // An earlier wake than needed is harmless: it comes, and asks again.
  if (earliest >= wake_at_) return;
  wake_at_ = earliest;
  turn.out.Emit(WakeAt{.time = earliest});
}

void CoreEngine::OnBatchReady(const Turn& turn, Batch& batch) {
  dispatcher_.Submit(turn, batch);
}

Group* CoreEngine::GroupToJoin(const Batch& batch) {
  return batch.gets_extra && PolicyOf(batch.model).JoinsGroup(batch, host_)
             ? builder_.Find(batch)
             : nullptr;
}

void CoreEngine::OnFirstDispatch(const Turn& turn, Batch& batch) {
  if (!batch.gets_extra) return;
  RedundancyPolicy& policy = PolicyOf(batch.model);
  if (policy.JoinsGroup(batch, host_)) {
    const Worker& worker = workers_.at(batch.worker);
    const Bundle& bundle = workers_.FindOrAdd(batch.deployed);
    Group* const group =
        builder_.Join(turn, batch, [&](const Group& candidate) {
          return WorkerTable::MayTakePart(worker, bundle, candidate);
        });
    if (group == nullptr) {
      ++state_.model_counters(batch.model).groups_unprotected;
    } else if (GroupBuilder::IsFull(state_, *group) ||
               (MayBeShort(*group) && policy.ClosesEarly(*group, host_))) {
      CloseGroup(turn, *group);
    }
  }
  policy.OnFirstDispatch(turn, batch, host_);
}

bool CoreEngine::MayBeShort(const Group& group) const {
  return state_.model_options(group.key.model).pad_short_groups &&
         state_.unit(group.key).code->supports_short_groups();
}

void CoreEngine::CloseGroup(const Turn& turn, Group& group) {
  const bool full = GroupBuilder::IsFull(state_, group);
  builder_.Close(group);
  ModelCounters& counters = state_.model_counters(group.key.model);
  ++(full ? counters.groups_closed_full : counters.groups_closed_short);
  if (!GroupBuilder::NeedsParity(group)) {
    state_.Mark(RarePath::kGroupNeedsNoParity);
    state_.Touch(group);
    return;
  }
  const bool may_code = full || MayBeShort(group);
  const std::optional<RedundancyPolicy::Admission> admitted =
      may_code ? PolicyOf(group.key.model).AdmitParity(turn, group, host_)
               : std::nullopt;
  if (!admitted) {
    state_.Mark(RarePath::kGroupUnprotected);
    ++counters.groups_unprotected;
    builder_.Dissolve(group);
    return;
  }
  if (!full) state_.Mark(RarePath::kGroupShortPadded);
  for (Parity& parity : group.parities) parity.charged = admitted->charged;
  builder_.Encode(turn, group, admitted->priority);
  state_.Touch(group);
}

void CoreEngine::OnParityUnplaced(const Turn& /*turn*/, Parity& parity) {
  state_.Mark(RarePath::kParityUnplaced);
  ++state_.model_counters(parity.group->key.model).groups_parity_unplaced;
  state_.Touch(*parity.group);
}

void CoreEngine::OnCopyFailed(const Turn& turn, Batch& batch,
                              AttemptType attempt) {
  PolicyOf(batch.model).OnCopyFailed(turn, batch, attempt, host_);
}

void CoreEngine::OnTaskEnded(const Task& task,
                             std::optional<Duration> service) {
  PolicyOf(task.model).OnTaskEnded(task, service, host_);
}

void CoreEngine::OnParityUnsent(ModelId model, Duration charged) {
  PolicyOf(model).OnParityUnsent(charged);
}

void CoreEngine::OnDecodeHeld(const Turn& turn, Batch& batch) {
  PolicyOf(batch.model).OnDecodeHeld(turn, batch, host_);
}

}  // namespace parm::core
