#pragma once

// Policy `hybrid`: coded redundancy on idle capacity, a hedge as the exact
// second chance, one budget for both. While load is low, groups get parity
// queries that yield to ordinary work, and a query without siblings, as at a
// low rate, gets a second copy at once. With load a gate fades both out, until
// only the hedge is left. docs/policies/hybrid.md has the mathematics and when
// it loses.

#include <algorithm>
#include <optional>

#include "base/time.h"
#include "frontend/core/policies/hedge_policy.h"
#include "frontend/core/policies/load_gate.h"
#include "frontend/core/policies/redundancy_policy.h"

namespace parm::core {

class HybridPolicy final : public RedundancyPolicy {
 public:
  /// Needs: model.code is set.
  explicit HybridPolicy(const ModelOptions& model);

  bool JoinsGroup(const Batch& batch, const PolicyHost& host) const override;
  bool ClosesEarly(const Group& group, const PolicyHost& host) const override;
  std::optional<Admission> AdmitParity(const Turn& turn, const Group& group,
                                       PolicyHost& host) override;
  void OnParityUnsent(Duration charged) override {
    hedge_.budget().Settle(charged, Duration{0});
  }
  void OnTaskEnded(const Task& task, std::optional<Duration> service,
                   PolicyHost& host) override {
    hedge_.OnTaskEnded(task, service, host);
  }
  void OnFirstDispatch(const Turn& turn, Batch& batch,
                       PolicyHost& host) override;
  void OnStarted(const Turn& turn, Batch& batch, const Task& task,
                 PolicyHost& host) override;
  void OnTimer(const Turn& turn, Batch& batch, PolicyHost& host) override;
  void OnCopyFailed(const Turn& turn, Batch& batch, AttemptType attempt,
                    PolicyHost& host) override;
  void OnDecodeHeld(const Turn& turn, Batch& batch, PolicyHost& host) override;

 private:
  /// Extra work that is not late yet: `service` of it, `per_query` for each
  /// query it protects.
  struct Extra {
    Duration service{0};
    double per_query = 1;
    Duration one_copy{0};
  };
  bool MayAdd(const Extra& extra, HedgeCounters& counters, PolicyHost& host);
  void Replicate(const Turn& turn, Batch& batch, PolicyHost& host);
  bool IsAlone(const Batch& batch, const PolicyHost& host) const;
  bool HasRoom(BundleKey bundle, const PolicyHost& host) const;
  int GroupSize(const RedundancyUnit& unit) const;
  /// Of the parity queries of a group of so many members, in queries.
  double CostOf(const RedundancyUnit& unit, int members) const;
  /// Of a copy that has begun.
  Duration LateAfter(const RunTimes::Estimate& runs) const {
    return std::max(min_delay_, runs.late);
  }
  std::optional<Time> OnTimeUntil(const Task& task,
                                  const std::optional<RunTimes::Estimate>& runs,
                                  Duration longest_wait,
                                  const PolicyHost& host) const;
  Time AllLateAt(const Turn& turn, const Batch& batch, PolicyHost& host) const;
  int NumHedgesFor(const Batch& batch, PolicyHost& host) const;
  void Hedge(const Turn& turn, Batch& batch, PolicyHost& host);
  void NoteStragglers(const Turn& turn, const RunTimes::Estimate& runs,
                      HedgeCounters& counters);
  void NoteArrival(const Turn& turn, const Batch& batch, PolicyHost& host);

  // Constant after construction.
  const HybridOptions options_;
  const double shut_extra_load_;
  const double burst_;        // of the budget; half of it is the hedges'
  const Duration min_delay_;  // of hedges
  const Duration group_timeout_;
  const bool observe_;

  HedgePolicy hedge_;
  LoadGate gate_;
  Time last_arrival_{};
  Time calm_from_{};      // unless a straggler is seen before
  Duration mean_gap_{0};  // between first dispatches
  Duration patience_{0};  // longest wait for siblings that is of use
  int group_size_ = 0;    // members that the load leaves room for
};

}  // namespace parm::core
