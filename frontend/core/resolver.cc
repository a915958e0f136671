#include "frontend/core/resolver.h"

#include <algorithm>
#include <optional>

#include "base/status_macros.h"
#include "frontend/core/group_builder.h"

namespace parm::core {

Resolver::Resolver(CoreState& state, WorkerTable& workers,
                   WorkerEjection& ejection, Dispatcher& dispatcher,
                   Answers& answers, CopyObserver& observer)
    : state_(state),
      workers_(workers),
      ejection_(ejection),
      dispatcher_(dispatcher),
      answers_(answers),
      observer_(observer) {}

void Resolver::OnReply(const Turn& turn, const TaskReplied& reply) {
  BufferId output = reply.output;
  Task* const task = state_.tasks.Find(Raw(reply.task));
  if (task == nullptr || task->worker != reply.worker) {
    state_.Mark(RarePath::kReplyUnknown);
    ++state_.counters.unknown_replies;
    CoreState::Release(turn, &output);
    return;
  }
  Batch* const batch = task->batch;
  Parity* const parity = task->parity;
  const AttemptType attempt = task->attempt;
  const bool cancelled = task->cancelled;
  const ModelId model = task->model;
  const bool has_output =
      reply.status == TaskStatus::kOk && output != BufferId{};
  const std::optional<Duration> service =
      Dispatcher::ServiceOf(turn, *task, workers_.at(reply.worker), reply);
  dispatcher_.End(turn, *task,
                  has_output ? Dispatcher::Outcome::kAnswered
                             : Dispatcher::Outcome::kNoAnswer,
                  service);
  NoteOutcome(turn, reply, has_output);
  if (has_output && !reply.decodable) {
    ++state_.model_counters(model).undecodable_replies;
  }
  if (batch == nullptr && parity == nullptr) {
    state_.Mark(RarePath::kReplyAfterAnswer);
    CoreState::Release(turn, &output);
  } else if (parity != nullptr) {
    has_output ? OnParityOutput(*parity, reply) : OnParityFailed(turn, *parity);
  } else if (has_output) {
    OnOutput(turn, *batch, attempt, reply);
  } else if (reply.status == TaskStatus::kExpired) {
    batch->expired = true;
    state_.Touch(*batch);
  } else if (reply.status == TaskStatus::kCancelled) {
    state_.Touch(*batch);
    if (!cancelled) {
      OnMemberFailed(turn, *batch, attempt, reply.worker, Failure::kLost);
    }
  } else {
    OnMemberError(turn, *batch, attempt, reply);
  }
}

void Resolver::NoteOutcome(const Turn& turn, const TaskReplied& reply,
                           bool has_output) {
  Worker& worker = workers_.at(reply.worker);
  if (reply.status == TaskStatus::kError) {
    worker.pace.OnError();
    // A permanent error may be the query's fault.
    if (reply.retryable) ejection_.OnError(turn.now, worker);
    Penalise(turn, reply.worker);
  }
  if (has_output) {
    worker.pace.OnSuccess();
    worker.penalised_until = Time{};
    const bool measured = worker.pace.measured() == turn.now;
    ejection_.OnAnswer(turn.now, worker,
                       measured ? worker.pace.last_ratio() : 0);
  }
}

void Resolver::OnOutput(const Turn& turn, Batch& batch, AttemptType attempt,
                        const TaskReplied& reply) {
  state_.Touch(batch);
  BufferId output = reply.output;
  if (batch.got_output) {
    CoreState::Release(turn, &output);
    return;
  }
  batch.got_output = true;
  batch.output = output;
  batch.output_decodable = reply.decodable;
  ModelCounters& counters = state_.model_counters(batch.model);
  if (turn.now > batch.trigger) {
    batch.late_counted = true;
    counters.late_originals += batch.num_queries;
  }
  answers_.AnswerExact(turn, batch, attempt);
  if (batch.decode == DecodeStage::kDone) CompareWithOriginal(turn, batch);
}

void Resolver::CompareWithOriginal(const Turn& turn, Batch& batch) {
  if (!batch.reconstructed) {
    state_.Mark(RarePath::kDecodeUnused);
    ++state_.model_counters(batch.model).decodes_unused;
  }
  if (batch.output_decodable && batch.output != BufferId{}) {
    state_.Mark(RarePath::kLateOriginalCompared);
    turn.out.Emit(CompareOutputs{.model = batch.model,
                                 .decoded = batch.decoded,
                                 .original = batch.output});
  }
  CoreState::Release(turn, &batch.decoded);
}

void Resolver::OnParityOutput(Parity& parity, const TaskReplied& reply) {
  parity.stage = ParityStage::kArrived;
  parity.output = reply.output;
  parity.output_decodable = reply.decodable;
  state_.Touch(*parity.group);
}

void Resolver::OnMemberError(const Turn& turn, Batch& batch,
                             AttemptType attempt, const TaskReplied& reply) {
  state_.Touch(batch);
  batch.failed_task = reply.task;
  // Success without an output is a permanent error too. Of several queries only
  // one may be to blame, or the worker: another one is asked before all fail.
  if (!reply.retryable && (batch.num_queries == 1 || batch.retried)) {
    BelieveError(batch);
    return;
  }
  state_.Mark(RarePath::kRetryableError);
  OnMemberFailed(turn, batch, attempt, reply.worker, Failure::kRefused);
}

void Resolver::BelieveError(Batch& batch) {
  state_.Touch(batch);
  state_.Mark(RarePath::kPermanentError);
  batch.refused = true;
  if (batch.waiting) dispatcher_.Withdraw(batch);
}

void Resolver::OnMemberFailed(const Turn& turn, Batch& batch,
                              AttemptType attempt, WorkerId worker,
                              Failure failure) {
  state_.Touch(batch);
  if (batch.num_open == 0 || batch.refused) return;
  Retry(turn, batch, worker, failure);
  observer_.OnCopyFailed(turn, batch, attempt);
}

void Resolver::Retry(const Turn& turn, Batch& batch, WorkerId avoid,
                     Failure failure) {
  if (batch.waiting || AnyCopyAlive(batch)) return;
  const bool costs_retry = failure != Failure::kNotSent;  // else it never left
  if (costs_retry && batch.retried) {
    state_.Mark(RarePath::kSecondLoss);
    return;
  }
  if (failure == Failure::kRefused) {
    // "Elsewhere" must exist: the same worker would only refuse again.
    const Bundle* const bundle = workers_.Find(batch.deployed);
    if (bundle == nullptr || !WorkerTable::AnyTakesTasks(*bundle, avoid)) {
      return;
    }
  }
  batch.retried |= costs_retry;
  if (dispatcher_.SendCopy(turn, batch, AttemptType::kRetry, /*priority=*/0,
                           Dispatcher::Wait::kForSlot, avoid)) {
    state_.Mark(RarePath::kRetrySent);
    ++state_.counters.tasks_redispatched;
  }
}

bool Resolver::AnyCopyAlive(const Batch& batch) {
  return std::any_of(
      batch.copies.begin(), batch.copies.begin() + batch.num_copies,
      [this](const Task* task) {
        return !task->cancelled && task->holds_slot &&
               workers_.at(task->worker).state == WorkerState::kAlive;
      });
}

void Resolver::OnParityFailed(const Turn& turn, Parity& parity) {
  state_.Touch(*parity.group);
  if (parity.retried) {
    parity.stage = ParityStage::kGone;
    return;
  }
  state_.Mark(RarePath::kParityRetried);
  parity.retried = true;
  ++state_.counters.tasks_redispatched;
  dispatcher_.SubmitParity(turn, parity);
}

void Resolver::Penalise(const Turn& turn, WorkerId worker) {
  Worker& penalised = workers_.at(worker);
  penalised.penalised_until = turn.now + state_.options.probe_interval;
  // It may have been the last one for whose sake others were left out.
  dispatcher_.NoteRoomBeside(penalised);
}

void Resolver::OnNotSent(const Turn& turn, const TaskNotSent& refusal) {
  Task* const task = state_.tasks.Find(Raw(refusal.task));
  if (task == nullptr || task->worker != refusal.worker) return;
  state_.Mark(RarePath::kTaskNotSent);
  Batch* const batch = task->batch;
  Parity* const parity = task->parity;
  const AttemptType attempt = task->attempt;
  if (!refusal.unsendable) {
    workers_.at(refusal.worker).unreachable = true;
    ejection_.OnUnreachable(turn.now, workers_.at(refusal.worker));
    Penalise(turn, refusal.worker);
  }
  dispatcher_.End(turn, *task, Dispatcher::Outcome::kNoAnswer,
                  /*service=*/Duration{0});
  if (parity != nullptr) OnParityFailed(turn, *parity);
  if (batch == nullptr) return;
  if (refusal.unsendable) {
    batch->failed_task = refusal.task;
    BelieveError(*batch);
  } else {
    OnMemberFailed(turn, *batch, attempt, kNoWorker, Failure::kNotSent);
  }
}

void Resolver::OnWorkerLost(const Turn& turn, Worker& worker) {
  while (Task* const task = worker.tasks.front()) {
    Batch* const batch = task->batch;
    Parity* const parity = task->parity;
    const AttemptType attempt = task->attempt;
    dispatcher_.End(turn, *task, Dispatcher::Outcome::kNoAnswer);
    if (parity != nullptr) OnParityFailed(turn, *parity);
    if (batch != nullptr) {
      OnMemberFailed(turn, *batch, attempt, kNoWorker, Failure::kLost);
    }
  }
}

void Resolver::OnWorkerSilent(const Turn& turn, Worker& worker) {
  for (Task* task = worker.tasks.front(); task != nullptr;
       task = decltype(worker.tasks)::Next(*task)) {
    SendElsewhere(turn, *task);
  }
}

void Resolver::OnWorkerIdle(const Turn& turn, Worker& worker) {
  // Long enough for the task to have reached the worker, and for a heartbeat
  // that left before to have come.
  const Duration grace = state_.options.heartbeat_timeout / 2;
  for (Task* task = worker.tasks.front(); task != nullptr;
       task = decltype(worker.tasks)::Next(*task)) {
    if (!task->holds_slot || turn.now - task->copy.dispatched < grace) continue;
    state_.Mark(RarePath::kTaskForgottenByWorker);
    dispatcher_.FreeSlot(*task);
    SendElsewhere(turn, *task);
  }
}

void Resolver::SendElsewhere(const Turn& turn, Task& task) {
  if (Parity* const parity = task.parity) {
    dispatcher_.Orphan(task);
    OnParityFailed(turn, *parity);
  } else if (task.batch != nullptr) {
    OnMemberFailed(turn, *task.batch, task.attempt, task.worker,
                   Failure::kLost);
  }
}

void Resolver::OnTaskTimer(const Turn& turn, Task& task) {
  Batch* const batch = task.batch;
  Parity* const parity = task.parity;
  if (!dispatcher_.OnTaskTimer(turn, task)) return;
  if (parity != nullptr) {
    parity->stage = ParityStage::kGone;
    state_.Touch(*parity->group);
  }
  if (batch != nullptr) state_.Touch(*batch);
}

void Resolver::OnParityEncoded(const Turn& turn, const ParityEncoded& encoded) {
  BufferId query = encoded.ok ? encoded.parity : BufferId{};
  Group* const group = state_.groups.Find(Raw(encoded.group));
  if (group == nullptr || encoded.parity_index >= group->num_parities ||
      group->parities[encoded.parity_index].stage != ParityStage::kEncoding) {
    CoreState::Release(turn, &query);
    return;
  }
  Parity& parity = group->parities[encoded.parity_index];
  --group->encodes_running;
  state_.Touch(*group);
  if (query == BufferId{}) {
    state_.Mark(RarePath::kEncodeFailed);
    ++state_.model_counters(group->key.model).encode_failures;
    parity.stage = ParityStage::kGone;
    return;
  }
  parity.query = query;
  parity.bytes = encoded.bytes;
  state_.buffered_bytes += encoded.bytes;
  if (!GroupBuilder::NeedsParity(*group)) {
    state_.Mark(RarePath::kEncodedTooLate);
    parity.stage = ParityStage::kGone;
    return;
  }
  dispatcher_.SubmitParity(turn, parity);
}

void Resolver::OnMemberDecoded(const Turn& turn, const MemberDecoded& decoded) {
  BufferId output = decoded.ok ? decoded.output : BufferId{};
  Group* const group = state_.groups.Find(Raw(decoded.group));
  if (group == nullptr || decoded.member >= group->num_members ||
      group->members[decoded.member]->decode != DecodeStage::kRunning) {
    state_.Mark(RarePath::kDecodeAfterGroup);
    CoreState::Release(turn, &output);
    return;
  }
  Batch& batch = *group->members[decoded.member];
  --group->decodes_running;
  state_.Touch(*group);
  ModelCounters& counters = state_.model_counters(batch.model);
  const double limit = state_.model_options(batch.model).decode.max_noise_gain;
  // Not "greater": a gain that is not a number is refused too.
  if (output == BufferId{} || !(decoded.noise_gain <= limit)) {
    state_.Mark(RarePath::kDecodeRefused);
    ++counters.decode_failures;
    batch.decode = DecodeStage::kRefused;
    CoreState::Release(turn, &output);
    return;
  }
  ++counters.decodes;
  batch.decode = DecodeStage::kDone;
  batch.decoded = output;
  batch.confidence = decoded.confidence;
  if (batch.got_output) CompareWithOriginal(turn, batch);
}

void Resolver::OnCompared(const OutputsCompared& compared) {
  ModelCounters& counters = state_.model_counters(compared.model);
  counters.quality_compared += compared.compared;
  counters.quality_agreed += compared.agreed;
  AgreementGate& gate = state_.gates[Raw(compared.model)];
  const AgreementGate::Change change =
      gate.Add(compared.compared, compared.agreed);
  counters.gate_closed += change == AgreementGate::Change::kClosed ? 1 : 0;
  counters.gate_opened += change == AgreementGate::Change::kOpened ? 1 : 0;
  counters.agreement = gate.agreement();
}

}  // namespace parm::core
