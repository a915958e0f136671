#pragma once

// The core behind FrontendCore::Handle: passes each event to the part that it
// concerns, then lets the reviewer and the dispatcher finish what it started.
// The parts and their order are in README.md.

#include <functional>
#include <memory>
#include <vector>

#include "frontend/core/answers.h"
#include "frontend/core/batcher.h"
#include "frontend/core/core_policy_host.h"
#include "frontend/core/core_state.h"
#include "frontend/core/dispatcher.h"
#include "frontend/core/frontend_core.h"
#include "frontend/core/group_builder.h"
#include "frontend/core/policies/redundancy_policy.h"
#include "frontend/core/resolver.h"
#include "frontend/core/reviewer.h"
#include "frontend/core/worker_ejection.h"
#include "frontend/core/worker_table.h"

namespace parm::core {

class CoreEngine final : public FrontendCore,
                         private BatchReceiver,
                         private DispatchObserver,
                         private CopyObserver,
                         private ReviewObserver {
 public:
  using PolicyFactory =
      std::function<std::unique_ptr<RedundancyPolicy>(const ModelOptions&)>;

  /// Needs: ValidateOptions(options) is OK.
  CoreEngine(CoreOptions options, const PolicyFactory& create_policy);

  void Handle(Time now, const Event& event, ActionSink& out) override;
  const CoreCounters& counters() const override { return state_.counters; }
  CoreSizes sizes() const override;

 private:
  void On(const Turn& turn, const QueryArrived& event);
  void On(const Turn& turn, const QueryAbandoned& event);
  void On(const Turn& turn, const WorkerUp& event);
  void On(const Turn& turn, const WorkerDown& event);
  void On(const Turn& turn, const WorkerLeft& event);
  void On(const Turn& turn, const WorkerHeard& event);
  void On(const Turn& turn, const WorkerDraining& event);
  void On(const Turn& turn, const TaskStarted& event);
  void On(const Turn& turn, const TaskReplied& event);
  void On(const Turn& turn, const TaskNotSent& event);
  void On(const Turn& turn, const ParityEncoded& event);
  void On(const Turn& turn, const MemberDecoded& event);
  void On(const Turn& turn, const OutputsCompared& event);
  void On(const Turn& turn, const UnitChosen& event);
  void On(const Turn& turn, const TimerFired& event);
  void On(const Turn& turn, const DrainRequested& event);

  std::optional<AnswerError> WhyNot(const Turn& turn,
                                    const QueryArrived& event);
  void NoteHeard(const Turn& turn, WorkerId id);
  bool MayBeShort(const Group& group) const;
  void CloseGroup(const Turn& turn, Group& group);
  void NoteStall(Time now);
  bool RunTimers(const Turn& turn);
  void Fire(const Turn& turn, const FiredTimer& fired);
  void OnWorkerTimer(const Turn& turn, Worker& worker);
  Time SilentAt(const Worker& worker) const;
  void WatchPenalty(const Turn& turn, Worker& worker);
  void ArmWorkerTimer(Worker& worker, Time at);
  void RunEjection(const Turn& turn);
  void AskForWake(const Turn& turn);

  void OnBatchReady(const Turn& turn, Batch& batch) override;
  Group* GroupToJoin(const Batch& batch) override;
  void OnFirstDispatch(const Turn& turn, Batch& batch) override;
  void OnParityUnplaced(const Turn& turn, Parity& parity) override;
  void OnCopyFailed(const Turn& turn, Batch& batch,
                    AttemptType attempt) override;
  void OnDecodeHeld(const Turn& turn, Batch& batch) override;
  void OnTaskEnded(const Task& task, std::optional<Duration> service) override;
  void OnParityUnsent(ModelId model, Duration charged) override;

  RedundancyPolicy& PolicyOf(ModelId model) { return *policies_[Raw(model)]; }

  CoreState state_;
  WorkerTable workers_;
  WorkerEjection ejection_;
  Batcher batcher_;
  Dispatcher dispatcher_;
  GroupBuilder builder_;
  Answers answers_;
  Resolver resolver_;
  Reviewer reviewer_;
  CorePolicyHost host_;
  std::vector<std::unique_ptr<RedundancyPolicy>> policies_;  // by model
  TimerQueue worker_timers_;
  Time wake_at_ = kNever;  // asked for and not come yet
  // Silence of a worker counts only while the frontend could have heard it.
  Time last_handled_{};
  Time awake_since_{};  // the end of the last long gap between two events
};

}  // namespace parm::core
