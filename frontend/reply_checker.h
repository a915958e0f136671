#pragma once

// Turns a worker's reply into the core's event: held against the task it
// answers, its tensors named to the core only if they are the model's.

#include <optional>

#include "frontend/buffer_table.h"
#include "frontend/core/event.h"
#include "frontend/error_texts.h"
#include "frontend/loop_counters.h"
#include "frontend/model_catalog.h"
#include "frontend/task_ledger.h"
#include "frontend/upstream/upstream_listener.h"

namespace parm {

/// Threads: the loop's only.
class ReplyChecker {
 public:
  struct Parts {  // All outlive the checker.
    TaskLedger* ledger = nullptr;
    const ModelCatalog* catalog = nullptr;
    BufferTable* buffers = nullptr;
    ErrorTexts* error_texts = nullptr;
    LoopCounters* counters = nullptr;
  };
  explicit ReplyChecker(const Parts& parts) : parts_(parts) {}

  /// nullopt, and counted: not terminal, or of no task that this worker has. A
  /// reply that is not the model's is a retryable error; one that is not finite
  /// may be an answer, but no decode uses it.
  std::optional<core::TaskReplied> Check(WorkerId worker, WorkerReply reply);

 private:
  void TakeOutputs(const TaskRecord& record, WorkerReply reply,
                   core::TaskReplied* event);

  const Parts parts_;
};

}  // namespace parm
