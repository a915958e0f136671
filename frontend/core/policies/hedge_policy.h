#pragma once

// Policy `hedge`: a second copy of a batch that is late, to another worker, as
// far as a budget goes; the first answer wins and the other copy is withdrawn.
// Lateness is a quantile of the copies' own dispatch-to-reply times, never of
// the winners', so hedging does not feed its own trigger.
// docs/policies/hedge.md has the mathematics and when it loses.

#include "frontend/core/policies/late_share.h"
#include "frontend/core/policies/redundancy_policy.h"
#include "frontend/core/policies/work_budget.h"

namespace parm::core {

/// Hedges of this batch that are out; a copy that yields is none.
int NumHedges(const Batch& batch);

class HedgePolicy final : public RedundancyPolicy {
 public:
  explicit HedgePolicy(const ModelOptions& model);

  void OnFirstDispatch(const Turn& turn, Batch& batch,
                       PolicyHost& host) override;
  void OnTimer(const Turn& turn, Batch& batch, PolicyHost& host) override;
  void OnTaskEnded(const Task& task, std::optional<Duration> service,
                   PolicyHost& host) override;
  void OnCopyFailed(const Turn& turn, Batch& batch, AttemptType attempt,
                    PolicyHost& host) override;
  /// The hedge that was to come later is sent now.
  void OnDecodeHeld(const Turn& turn, Batch& batch, PolicyHost& host) override;

  /// What follows is for policies that hedge among other things, and pay for
  /// those from the same budget.
  WorkBudget& budget() { return budget_; }
  void NoteDispatch() { late_share_.OnDispatch(); }
  /// A query has passed its delay.
  void NoteLate() { late_share_.OnLate(); }
  /// Most queries are late: no extra work.
  bool Braked() const { return late_share_.Exceeds(options_.max_late_share); }
  /// From the first dispatch to the hedge.
  Duration DelayOf(const Turn& turn, const Batch& batch,
                   PolicyHost& host) const;
  /// Sends a hedge now, if the batch has fewer than `most` and may have one;
  /// observing it counts one, and says kNever.
  enum class Verdict : uint8_t { kSent, kNever, kLater };
  Verdict Hedge(const Turn& turn, Batch& batch, int most, PolicyHost& host);
  /// After kLater.
  void TryAgain(const Turn& turn, Batch& batch, PolicyHost& host) const;
  /// Copies at the workers at once, where the options do not say it.
  void set_share_of_lanes(double share) { share_of_lanes_ = share; }
  uint64_t MaxConcurrent(const Batch& batch, const PolicyHost& host) const;

 private:
  const HedgeOptions options_;
  const Duration max_delay_;
  const bool observe_;
  WorkBudget budget_;
  LateShare late_share_;
  double share_of_lanes_ = 0.25;
};

}  // namespace parm::core
