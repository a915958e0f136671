#pragma once

// The one place where queries end: exactly one AnswerQuery each, or none if the
// client has gone. Step [6] of a query's life decides through here, and what a
// query held is given back here.

#include <optional>

#include "frontend/core/batcher.h"
#include "frontend/core/core_state.h"
#include "frontend/core/dispatcher.h"
#include "frontend/core/worker_table.h"

namespace parm::core {

class Answers {
 public:
  /// All outlive this object.
  Answers(CoreState& state, WorkerTable& workers, Batcher& batcher,
          Dispatcher& dispatcher);

  /// Answers a query that is not taken in.
  void Refuse(const Turn& turn, const QueryArrived& query, AnswerError error);

  /// Answers every open query of the batch with its output.
  void AnswerExact(const Turn& turn, Batch& batch, AttemptType attempt);

  /// Answers one query with the batch's decoded output.
  void AnswerReconstructed(const Turn& turn, Query& query);

  /// Nothing better can come: the default answer where there is one and the
  /// query may have it, else the error.
  void GiveUp(const Turn& turn, Query& query, AnswerError error);

  /// The best that is here, at the query's deadline.
  void OnDeadline(const Turn& turn, Query& query);

  /// The client has gone.
  void Abandon(const Turn& turn, Query& query);

  /// Whether a reconstruction may answer the query at all: policy mode,
  /// parm_mode, floor and what late originals say.
  bool MayReconstruct(const Query& query) const;

  /// Gives back the inputs of a batch whose queries are all closed.
  void ReleaseInputs(const Turn& turn, Batch& batch);

 private:
  struct Reply {
    AnswerSource source = AnswerSource::kError;
    AnswerError error = AnswerError::kNone;
    BufferId output{};
    std::optional<float> confidence;
    TaskId task{};
  };
  void Answer(const Turn& turn, Query& query, const Reply& reply);
  void Close(const Turn& turn, Query& query);
  void LeaveBatch(const Turn& turn, Query& query);
  void Free(const Turn& turn, Query& query);
  AnswerError ReasonAtDeadline(const Query& query);

  CoreState& state_;
  WorkerTable& workers_;
  Batcher& batcher_;
  Dispatcher& dispatcher_;
};

/// The records of a batch's queries, safe against the closing of the current
/// one once the batch was sent (closed queries stay in it).
inline Query* FirstQuery(const Batch& batch) { return batch.queries.front(); }
inline Query* NextQuery(const Query& query) {
  return IntrusiveList<Query, &Query::in_batch>::Next(query);
}

}  // namespace parm::core
