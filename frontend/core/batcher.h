#pragma once

// Collects queries of one (model, deployed bundle, signature) into batches:
// step [3] of a query's life. A batch leaves when it is full or its time is up;
// where batches are of one, a query leaves at once.

#include "frontend/core/core_state.h"

namespace parm::core {

/// Takes the batches that are complete.
class BatchReceiver {
 public:
  virtual ~BatchReceiver() = default;
  virtual void OnBatchReady(const Turn& turn, Batch& batch) = 0;
};

class Batcher {
 public:
  /// Both outlive the batcher.
  Batcher(CoreState& state, BatchReceiver& receiver);

  /// Adds an admitted query. A query that holds max_batch_size samples or more
  /// is a batch by itself; one that no longer fits sends the others off first;
  /// one of unknown layout (signature 0) shares with nobody.
  /// Needs: state.batches is not full.
  void Add(const Turn& turn, Query& query, const LayoutKey& key);

  /// batch_timeout has passed, or the first deadline comes near.
  void OnTimeout(const Turn& turn, Batch& batch) { Flush(turn, batch); }

  /// Sends off everything, full or not.
  void FlushAll(const Turn& turn);

  /// Forgets a batch whose last query has gone. Its record stays.
  void Drop(Batch& batch);

 private:
  Batch& NewBatch(const LayoutKey& key);
  void Append(Batch& batch, Query& query);
  void ArmTimeout(const Turn& turn, Batch& batch, const Query& query);
  void Flush(const Turn& turn, Batch& batch);

  CoreState& state_;
  BatchReceiver& receiver_;
  FixedMap<LayoutKey, Batch*> forming_;
  IntrusiveList<Batch, &Batch::wait> forming_list_;
};

}  // namespace parm::core
