#pragma once

// What replies, losses, encodes and decodes mean for the queries behind them:
// step [6] of a query's life. It notes what has changed; what follows for the
// group as a whole is the reviewer's, later in the same Handle call.

#include "frontend/core/answers.h"
#include "frontend/core/core_state.h"
#include "frontend/core/dispatcher.h"
#include "frontend/core/worker_ejection.h"
#include "frontend/core/worker_table.h"

namespace parm::core {

/// Told when a copy ended without an answer while queries still wait.
class CopyObserver {
 public:
  virtual ~CopyObserver() = default;
  virtual void OnCopyFailed(const Turn& turn, Batch& batch,
                            AttemptType attempt) = 0;
};

class Resolver {
 public:
  /// All outlive the resolver.
  Resolver(CoreState& state, WorkerTable& workers, WorkerEjection& ejection,
           Dispatcher& dispatcher, Answers& answers, CopyObserver& observer);

  void OnReply(const Turn& turn, const TaskReplied& reply);
  void OnNotSent(const Turn& turn, const TaskNotSent& refusal);

  /// The worker's process or connection has gone: every task there is lost.
  void OnWorkerLost(const Turn& turn, Worker& worker);
  /// Nothing is heard from it: what it has is sent elsewhere too, and whichever
  /// answer comes first counts.
  void OnWorkerSilent(const Turn& turn, Worker& worker);

  /// It says that it holds nothing: tasks that it must have had by then are
  /// treated as those of a silent worker, and give up their slots.
  void OnWorkerIdle(const Turn& turn, Worker& worker);

  /// The estimated end of a task, or the end of the feedback horizon.
  void OnTaskTimer(const Turn& turn, Task& task);

  void OnParityEncoded(const Turn& turn, const ParityEncoded& encoded);
  void OnMemberDecoded(const Turn& turn, const MemberDecoded& decoded);
  void OnCompared(const OutputsCompared& compared);

 private:
  // How a task ended without an output.
  enum class Failure : uint8_t { kLost, kRefused, kNotSent };

  void OnOutput(const Turn& turn, Batch& batch, AttemptType attempt,
                const TaskReplied& reply);
  void OnParityOutput(Parity& parity, const TaskReplied& reply);
  void OnMemberError(const Turn& turn, Batch& batch, AttemptType attempt,
                     const TaskReplied& reply);
  // Nobody else is asked; see README, Errors.
  void BelieveError(Batch& batch);
  void OnMemberFailed(const Turn& turn, Batch& batch, AttemptType attempt,
                      WorkerId worker, Failure failure);
  void SendElsewhere(const Turn& turn, Task& task);
  void OnParityFailed(const Turn& turn, Parity& parity);
  void Retry(const Turn& turn, Batch& batch, WorkerId avoid, Failure failure);
  bool AnyCopyAlive(const Batch& batch);
  void NoteOutcome(const Turn& turn, const TaskReplied& reply, bool has_output);
  void Penalise(const Turn& turn, WorkerId worker);
  void CompareWithOriginal(const Turn& turn, Batch& batch);

  CoreState& state_;
  WorkerTable& workers_;
  WorkerEjection& ejection_;
  Dispatcher& dispatcher_;
  Answers& answers_;
  CopyObserver& observer_;
};

}  // namespace parm::core
