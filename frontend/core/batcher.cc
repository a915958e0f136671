#include "frontend/core/batcher.h"

#include <algorithm>

#include "base/status_macros.h"

namespace parm::core {

namespace {
LayoutKey KeyOf(const Batch& batch) {
  return {.model = batch.model,
          .deployed = batch.deployed,
          .signature = batch.signature,
          .unit = batch.unit};
}
}  // namespace

Batcher::Batcher(CoreState& state, BatchReceiver& receiver)
    : state_(state), receiver_(receiver), forming_(state.options.max_queries) {}

void Batcher::Add(const Turn& turn, Query& query, const LayoutKey& key) {
  const ModelOptions& model = state_.model_options(key.model);
  Batch* const* found = forming_.Find(key);
  if (found != nullptr &&
      (*found)->samples + query.samples > model.max_batch_size) {
    Flush(turn, **found);
    found = nullptr;
  }
  if (found != nullptr) {
    Batch& batch = **found;
    Append(batch, query);
    if (batch.samples == model.max_batch_size) {
      Flush(turn, batch);
    } else {
      ArmTimeout(turn, batch, query);
    }
    return;
  }
  Batch& batch = NewBatch(key);
  Append(batch, query);
  if (batch.samples >= model.max_batch_size || key.signature == 0 ||
      model.batch_timeout == Duration{0} || state_.draining) {
    receiver_.OnBatchReady(turn, batch);
    return;
  }
  forming_.Insert(key, &batch);
  forming_list_.PushBack(batch);
  ArmTimeout(turn, batch, query);
}

Batch& Batcher::NewBatch(const LayoutKey& key) {
  Batch* const batch = state_.batches.Allocate();
  PARM_CHECK(batch != nullptr);
  batch->model = key.model;
  batch->deployed = key.deployed;
  batch->signature = key.signature;
  batch->unit = key.unit;
  batch->trigger = kNever;
  return *batch;
}

void Batcher::Append(Batch& batch, Query& query) {
  query.batch = &batch;
  batch.queries.PushBack(query);
  batch.samples += query.samples;
  ++batch.num_open;
  batch.num_decodable += query.mode == AnswerMode::kExact ? 0 : 1;
  batch.gets_extra |= !query.further_attempt;
}

void Batcher::ArmTimeout(const Turn& turn, Batch& batch, const Query& query) {
  const ModelOptions& model = state_.model_options(batch.model);
  // The first query starts the clock; a later one with little time left may
  // only bring the end nearer.
  const Time latest = query.deadline - model.decode.slack;
  if (batch.queries.size() == 1) {
    batch.waiting_since = turn.now + model.batch_timeout;
  }
  batch.waiting_since =
      std::max(turn.now, std::min(batch.waiting_since, latest));
  state_.timers.Arm(&batch.timer, batch.waiting_since, TimerKind::kBatchTimeout,
                    Slab<Batch>::IndexOf(batch));
}

void Batcher::Drop(Batch& batch) {
  PARM_CHECK(forming_.Erase(KeyOf(batch)));
  forming_list_.Remove(batch);
  state_.timers.Disarm(&batch.timer);
}

void Batcher::Flush(const Turn& turn, Batch& batch) {
  Drop(batch);
  receiver_.OnBatchReady(turn, batch);
}

void Batcher::FlushAll(const Turn& turn) {
  while (Batch* const batch = forming_list_.front()) Flush(turn, *batch);
}

}  // namespace parm::core
