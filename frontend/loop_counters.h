#pragma once

// What the frontend loop counts beside the core; the metrics exporter copies
// it out.

#include <array>
#include <cstdint>
#include <vector>

#include "base/time.h"
#include "frontend/core/action.h"
#include "frontend/model_catalog.h"
#include "proto/oip/model_statistics.h"

namespace parm {

/// What the extension `statistics` tells of a model beside the core's counters.
struct ModelUse {
  uint64_t samples = 0;     // answered from outputs
  uint64_t executions = 0;  // replies of deployed bundles that have outputs
  // When the latest arrived, in milliseconds since 1970; never goes back.
  uint64_t last_query_ms = 0;
  // Requests of sequences, which the core knows nothing of.
  oip::DurationTotal steps_answered;
  oip::DurationTotal steps_failed;
};

/// Of sequence_router.h.
struct SequenceCounters {
  uint64_t started = 0;
  uint64_t ended = 0;      // as they said
  uint64_t forgotten = 0;  // idle for too long, or failed long ago
  uint64_t failed = 0;     // their server was gone
  uint64_t requests_answered = 0;
  uint64_t requests_failed = 0;   // no answer of a server, or an error
  uint64_t requests_refused = 0;  // no such sequence, or a bound
};

struct LoopCounters {
  std::vector<ModelUse> use;  // by ModelId
  SequenceCounters sequences;
  uint64_t queries_invalid = 0;         // answered 400
  uint64_t queries_not_found = 0;       // 404: model or version
  uint64_t queries_without_worker = 0;  // 503 at admission
  uint64_t queries_over_memory = 0;     // 503: max_buffered_bytes
  uint64_t queries_too_large = 0;       // 413: for a worker of the model
  uint64_t queries_draining = 0;        // 503
  uint64_t queries_expired = 0;         // 504: the deadline had passed
  // At admission. Overload is counted by the core.
  void CountRejection(core::AnswerError error) {
    if (error == core::AnswerError::kDraining) ++queries_draining;
    if (error == core::AnswerError::kNoWorker) ++queries_without_worker;
    if (error == core::AnswerError::kDeadlineExceeded) ++queries_expired;
  }
  // Queries of coded models that no code protects, [ModelId][UncodedReason].
  std::vector<std::array<uint64_t, kNumUncodedReasons>> uncoded;
  uint64_t inputs_not_finite = 0;   // queries, coded models only
  uint64_t outputs_not_finite = 0;  // replies
  uint64_t replies_wrong = 0;       // number, name, datatype or shape
  uint64_t replies_unknown = 0;     // no such task: late, repeated, made up
  uint64_t replies_early = 0;       // EXIT stages, which nothing here uses
  uint64_t defaults_misfit = 0;     // bundles that the default is not of
  uint64_t answers_misfit = 0;      // a default or rows that do not fit
};

}  // namespace parm
