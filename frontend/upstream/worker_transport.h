#pragma once

// How tasks reach workers, whatever these speak: step [5] of a query's life.
// ZmqUpstream speaks to our own workers, OipUpstream to other people's model
// servers; a frontend that has both asks a TransportSwitch.

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/ids.h"
#include "base/time.h"
#include "proto/oip/messages.h"

namespace parm {

/// What an Infer says besides its tensors.
struct InferTask {
  TaskId task{};
  absl::string_view bundle_sha256;  // 32 bytes
  uint32_t priority = 0;
  Luck luck{};
  Duration budget{0};  // at least 1 us is sent; 0 would mean no limit
  /// What its client said beside; for servers of others. Null: nothing, or the
  /// task is several clients', or nobody's.
  const oip::RequestContext* context = nullptr;
};

/// Threads: the loop's only; the UpstreamListener is called on it, never inside
/// a call here.
class WorkerTransport {
 public:
  virtual ~WorkerTransport() = default;

  /// Sends a task; large tensors are shared, not copied.
  /// Errors: kUnavailable if the worker has not said hello or its connection is
  /// gone, kResourceExhausted if its queue is full, kOutOfRange if a tensor is
  /// larger than it takes or cannot be said in its protocol. Nothing was sent
  /// then.
  virtual absl::Status SendInfer(WorkerId worker, const InferTask& task,
                                 absl::Span<const oip::Tensor> tensors) = 0;
  /// Errors: as SendInfer.
  virtual absl::Status SendCancel(WorkerId worker, TaskId task) = 0;
  /// Asks for a sign of life; without a connection that is being made anyway.
  /// Errors: as SendInfer.
  virtual absl::Status SendProbe(WorkerId worker) = 0;
};

/// The workers below `first_of_second` are the first transport's, all others
/// the second's.
class TransportSwitch final : public WorkerTransport {
 public:
  TransportSwitch(WorkerTransport* first, WorkerId first_of_second,
                  WorkerTransport* second)
      : first_(first), second_(second), first_of_second_(first_of_second) {}

  absl::Status SendInfer(WorkerId worker, const InferTask& task,
                         absl::Span<const oip::Tensor> tensors) override {
    return Of(worker).SendInfer(worker, task, tensors);
  }
  absl::Status SendCancel(WorkerId worker, TaskId task) override {
    return Of(worker).SendCancel(worker, task);
  }
  absl::Status SendProbe(WorkerId worker) override {
    return Of(worker).SendProbe(worker);
  }

 private:
  WorkerTransport& Of(WorkerId worker) {
    return Raw(worker) < Raw(first_of_second_) ? *first_ : *second_;
  }

  WorkerTransport* const first_;
  WorkerTransport* const second_;
  const WorkerId first_of_second_;
};

}  // namespace parm
