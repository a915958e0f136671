#include "frontend/core/answers.h"

#include "base/status_macros.h"

namespace parm::core {

Answers::Answers(CoreState& state, WorkerTable& workers, Batcher& batcher,
                 Dispatcher& dispatcher)
    : state_(state),
      workers_(workers),
      batcher_(batcher),
      dispatcher_(dispatcher) {}

void Answers::Refuse(const Turn& turn, const QueryArrived& query,
                     AnswerError error) {
  ModelCounters& counters = state_.model_counters(query.model);
  constexpr auto kSource = static_cast<size_t>(AnswerSource::kError);
  ++counters.answers[kSource];
  counters.latency[kSource].Record(Duration{0});
  turn.out.Emit(AnswerQuery{.query = query.query,
                            .model = query.model,
                            .source = AnswerSource::kError,
                            .error = error,
                            .num_samples = query.samples});
  BufferId input = query.input;
  CoreState::Release(turn, &input);
}

void Answers::Answer(const Turn& turn, Query& query, const Reply& reply) {
  PARM_CHECK(query.open);
  ModelCounters& counters = state_.model_counters(query.model);
  const auto source = static_cast<size_t>(reply.source);
  ++counters.answers[source];
  counters.latency[source].Record(turn.now - query.arrived);
  turn.out.Emit(AnswerQuery{.query = query.id,
                            .model = query.model,
                            .source = reply.source,
                            .error = reply.error,
                            .output = reply.output,
                            .first_sample = query.first_sample,
                            .num_samples = query.samples,
                            .confidence = reply.confidence,
                            .task = reply.task});
  Close(turn, query);
}

void Answers::AnswerExact(const Turn& turn, Batch& batch, AttemptType attempt) {
  const bool hedged = attempt == AttemptType::kHedge;
  const AnswerSource source =
      hedged ? AnswerSource::kHedged : AnswerSource::kExact;
  if (hedged && batch.num_open > 0)
    ++state_.model_counters(batch.model).hedge.won;
  for (Query* query = FirstQuery(batch); query != nullptr;
       query = NextQuery(*query)) {
    if (!query->open) continue;
    Answer(turn, *query, {.source = source, .output = batch.output});
  }
}

void Answers::AnswerReconstructed(const Turn& turn, Query& query) {
  Batch& batch = *query.batch;
  batch.reconstructed = true;
  // A backup stands beside its members alone: no group has it and parity too.
  const bool backup = batch.group->parities[0].role == BundleRole::kBackup;
  Answer(
      turn, query,
      {.source = backup ? AnswerSource::kBackup : AnswerSource::kReconstructed,
       .output = batch.decoded,
       .confidence = batch.confidence});
}

void Answers::GiveUp(const Turn& turn, Query& query, AnswerError error) {
  const ModelOptions& model = state_.model_options(query.model);
  if (model.has_default_answer && query.mode != AnswerMode::kExact) {
    state_.Mark(RarePath::kDefaultAnswer);
    Answer(turn, query, {.source = AnswerSource::kDefault});
    return;
  }
  Answer(turn, query, {.error = error, .task = query.batch->failed_task});
}

bool Answers::MayReconstruct(const Query& query) const {
  const ModelOptions& model = state_.model_options(query.model);
  if (model.mode == PolicyMode::kObserve || query.mode == AnswerMode::kExact) {
    return false;
  }
  const Batch& batch = *query.batch;
  return batch.decode == DecodeStage::kDone &&
         !state_.gates[Raw(query.model)].closed() &&
         (!model.decode.floor ||
          (batch.confidence && *batch.confidence >= *model.decode.floor));
}

AnswerError Answers::ReasonAtDeadline(const Query& query) {
  const Batch& batch = *query.batch;
  if (batch.stage != BatchStage::kSent ||
      (batch.waiting && batch.num_copies == 0)) {
    const Bundle* const bundle = workers_.Find(batch.deployed);
    if (bundle != nullptr && WorkerTable::AnyTakesTasks(*bundle)) {
      return AnswerError::kDeadlineExceeded;
    }
    state_.Mark(RarePath::kNoWorkerAtDeadline);
    return AnswerError::kNoWorker;
  }
  const bool all_failed =
      batch.num_copies == 0 && !batch.waiting && !batch.expired;
  return all_failed ? AnswerError::kBackend : AnswerError::kDeadlineExceeded;
}

void Answers::OnDeadline(const Turn& turn, Query& query) {
  if (MayReconstruct(query)) {
    state_.Mark(RarePath::kReconstructedAtDeadline);
    AnswerReconstructed(turn, query);
    return;
  }
  GiveUp(turn, query, ReasonAtDeadline(query));
}

void Answers::Abandon(const Turn& turn, Query& query) {
  ++state_.model_counters(query.model).abandoned;
  Close(turn, query);
}

void Answers::Close(const Turn& turn, Query& query) {
  query.open = false;
  --state_.open_queries;
  --query.batch->num_open;
  query.batch->num_decodable -= query.mode == AnswerMode::kExact ? 0 : 1;
  PARM_CHECK(state_.query_index.Erase(Raw(query.id)));
  state_.timers.Disarm(&query.timer);
  if (query.batch->stage == BatchStage::kSent) {
    state_.Touch(*query.batch);
  } else {
    LeaveBatch(turn, query);
  }
}

void Answers::LeaveBatch(const Turn& turn, Query& query) {
  Batch& batch = *query.batch;
  batch.samples -= query.samples;
  Free(turn, query);
  if (!batch.queries.empty()) return;
  state_.Mark(RarePath::kBatchEmptiedBeforeDispatch);
  if (batch.stage == BatchStage::kForming) {
    batcher_.Drop(batch);
  } else {
    dispatcher_.Withdraw(batch);
  }
  state_.batches.Free(&batch);
}

void Answers::ReleaseInputs(const Turn& turn, Batch& batch) {
  while (Query* const query = batch.queries.front()) {
    PARM_CHECK(!query->open);
    Free(turn, *query);
  }
}

void Answers::Free(const Turn& turn, Query& query) {
  query.batch->queries.Remove(query);
  state_.buffered_bytes -= query.bytes;
  CoreState::Release(turn, &query.input);
  state_.queries.Free(&query);
}

}  // namespace parm::core
