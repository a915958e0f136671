#pragma once

// Does what the core wants done, on real tensors and sockets: dispatches,
// encodes, decodes, compares. What an action brings about is queued as an event
// for the loop to handle after the core has returned; the core is never called
// from here. Answers and timers are the host's.

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/latency_histogram.h"
#include "frontend/buffer_table.h"
#include "frontend/coding_performer.h"
#include "frontend/core/action.h"
#include "frontend/core/core_options.h"
#include "frontend/core/event.h"
#include "frontend/model_catalog.h"
#include "frontend/task_ledger.h"
#include "frontend/upstream/worker_transport.h"

namespace parm {

struct PerformerCounters {
  uint64_t join_failures = 0;  // inputs of a batch did not fit together
  LatencyHistogram encode_time;
  LatencyHistogram decode_time;
};

/// The rest of what the core asks for; called from inside the core's Handle.
class PerformerHost {
 public:
  virtual ~PerformerHost() = default;
  virtual void OnAnswer(const core::AnswerQuery& answer) = 0;
  virtual void OnWakeAt(Time time) = 0;
};

/// Threads: the loop's only.
/// Bound:   one event per action, so the queue is as long as one Handle's
///          actions at most.
class ActionPerformer final : public core::ActionSink {
 public:
  struct Parts {  // All outlive the performer.
    BufferTable* buffers = nullptr;
    TaskLedger* ledger = nullptr;
    const ModelCatalog* catalog = nullptr;
    WorkerTransport* upstream = nullptr;
    PerformerHost* host = nullptr;
    const std::vector<core::ModelOptions>* models = nullptr;  // their codes
    Duration keep_tasks{0};  // in the ledger past their deadline
  };
  explicit ActionPerformer(Parts parts) : parts_(std::move(parts)) {}

  void Emit(const core::Action& action) override;

  /// Events that actions brought about, oldest first.
  bool has_events() const { return !events_.empty(); }
  core::Event TakeEvent();

  const PerformerCounters& counters() const { return counters_; }

 private:
  void Perform(const core::DispatchTask& action);
  void Perform(const core::CancelTask& action);
  void Perform(const core::EncodeParity& action);
  void Perform(const core::DecodeMember& action);
  void Perform(const core::AnswerQuery& action);
  void Perform(const core::CompareOutputs& action);
  void Perform(const core::ReleaseBuffer& action);
  void Perform(const core::ProbeWorker& action);
  void Perform(const core::WakeAt& action);

  const Code& CodeOf(ModelId model, uint8_t unit) const {
    return *(*parts_.models)[Raw(model)].code_of(unit);
  }
  absl::StatusOr<TensorSet> Inputs(const core::DispatchTask& action) const;
  std::optional<float> Confidence(const core::DecodeMember& action,
                                  const DecodedOutput& decoded) const;

  const Parts parts_;
  std::deque<core::Event> events_;
  PerformerCounters counters_;
};

}  // namespace parm
