#pragma once

// What a redundancy policy may ask of the core, done with the core's parts.

#include "frontend/core/core_state.h"
#include "frontend/core/dispatcher.h"
#include "frontend/core/policies/redundancy_policy.h"
#include "frontend/core/worker_table.h"

namespace parm::core {

class CorePolicyHost final : public PolicyHost {
 public:
  /// All outlive this object.
  CorePolicyHost(CoreState& state, WorkerTable& workers, Dispatcher& dispatcher)
      : state_(state), workers_(workers), dispatcher_(dispatcher) {}

  Task* SendCopy(const Turn& turn, Batch& batch, AttemptType attempt,
                 uint8_t priority) override;
  uint32_t CancelOthers(const Turn& turn, Batch& batch,
                        const Task& keep) override;
  void ArmTimer(Batch& batch, Time at) override;
  std::optional<LatencyTrigger::Delays> DelaysOf(const Turn& turn,
                                                 const Batch& batch) override;
  const std::optional<RunTimes::Estimate>& RunsOf(const Batch& batch) override;
  const std::optional<RunTimes::Estimate>& ParityRunsOf(
      const Batch& batch) override;
  bool TellsBegins(WorkerId worker) const override;
  Duration MeanService(ModelId model, uint32_t samples) override;
  uint32_t NumInFlight(ModelId model, AttemptType attempt) const override;
  uint64_t NumLanes(BundleKey bundle) const override;
  HedgeCounters& CountersOf(ModelId model) override;
  const RedundancyUnit& UnitOf(ModelId model, uint8_t unit) const override {
    return state_.unit(model, unit);
  }
  double BusyShare(BundleKey bundle) const override;
  bool HasIdleLanes(BundleKey bundle, uint64_t count) const override;
  double BusyShareBefore(const Batch& batch) const override;
  double Fullness() const override;

 private:
  CoreState& state_;
  WorkerTable& workers_;
  Dispatcher& dispatcher_;
};

}  // namespace parm::core
