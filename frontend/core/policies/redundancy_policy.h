#pragma once

// The seam where redundancy policies plug into the core. A policy decides what
// extra work a batch gets; the core does that work and alone decides what
// answers a query. One object per model; it may keep budgets and estimates.

#include <cstdint>
#include <memory>
#include <optional>

#include "base/ids.h"
#include "base/time.h"
#include "frontend/core/core_options.h"
#include "frontend/core/core_state.h"

namespace parm::core {

/// What a policy may ask for.
class PolicyHost {
 public:
  virtual ~PolicyHost() = default;

  /// Sends one more copy of the batch, if a worker that has had none of it has
  /// a slot now, and one of another fault domain where that is possible. Its
  /// answer is labelled by the attempt: kHedge gives AnswerSource::kHedged.
  /// Priority: 0 ordinary, 1 only when the worker has nothing ordinary.
  /// nullptr if it was not sent, also if no copy can help: deadline passed,
  /// error believed. What the policy's budget has paid goes into the task.
  virtual Task* SendCopy(const Turn& turn, Batch& batch, AttemptType attempt,
                         uint8_t priority) = 0;

  /// Asks for the withdrawal of every copy but this one, unless that was asked
  /// for `keep` itself before. Returns how many.
  virtual uint32_t CancelOthers(const Turn& turn, Batch& batch,
                                const Task& keep) = 0;

  /// OnTimer runs at `at`, once, if the batch is still unanswered; replaces
  /// the time asked for before. How often it ran is in
  /// Batch::num_policy_timers.
  virtual void ArmTimer(Batch& batch, Time at) = 0;

  /// What copies of this batch's size take from dispatch to reply; nullopt
  /// while too few are known.
  virtual std::optional<LatencyTrigger::Delays> DelaysOf(
      const Turn& turn, const Batch& batch) = 0;

  /// How long copies of this batch size run at their workers; known only of
  /// models for whose policy AsksForRuns holds.
  virtual const std::optional<RunTimes::Estimate>& RunsOf(
      const Batch& batch) = 0;
  /// The same of parity queries of its group.
  virtual const std::optional<RunTimes::Estimate>& ParityRunsOf(
      const Batch& batch) = 0;

  /// Whether this worker says when it begins with a task, so that one of which
  /// it did not waits still.
  virtual bool TellsBegins(WorkerId worker) const = 0;

  /// What a task of this size takes of a worker on average; until one has
  /// ended, 1 ms a sample.
  virtual Duration MeanService(ModelId model, uint32_t samples) = 0;

  /// Tasks of this kind that take a slot.
  virtual uint32_t NumInFlight(ModelId model, AttemptType attempt) const = 0;

  /// Of the workers that serve this bundle and take tasks.
  virtual uint64_t NumLanes(BundleKey bundle) const = 0;

  virtual HedgeCounters& CountersOf(ModelId model) = 0;

  /// Needs: the model uses a code.
  virtual const RedundancyUnit& UnitOf(ModelId model, uint8_t unit) const = 0;

  /// Share of the lanes that serve this bundle and have ordinary work, 0..1; 1
  /// if no worker takes tasks.
  virtual double BusyShare(BundleKey bundle) const = 0;

  /// Whether at least this many lanes that serve this bundle have no task.
  virtual bool HasIdleLanes(BundleKey bundle, uint64_t count) const = 0;

  /// BusyShare as it was before the batch's first copy left, just now.
  virtual double BusyShareBefore(const Batch& batch) const = 0;

  /// How near the core is to refusing queries, 0..1: of the bound on open
  /// queries or on buffered bytes, whichever is nearer.
  virtual double Fullness() const = 0;
};

/// The base class is a policy that adds nothing. A policy reads the batch and
/// changes nothing of it but policy_mark and hedge_observed.
/// Threads: as the core that owns it.
class RedundancyPolicy {
 public:
  virtual ~RedundancyPolicy() = default;

  /// Whether the batch becomes a member of a coding group when it is first
  /// dispatched. Asked too when a worker is picked for it, to keep away from
  /// the group's workers; what is said last counts.
  virtual bool JoinsGroup(const Batch& /*batch*/,
                          const PolicyHost& /*host*/) const {
    return false;
  }

  /// A member has joined a group that is not full: whether to close it all the
  /// same. Asked only where short groups may be coded.
  virtual bool ClosesEarly(const Group& /*group*/,
                           const PolicyHost& /*host*/) const {
    return false;
  }

  struct Admission {
    uint8_t priority = 1;
    Duration charged{0};  // what the budget has paid for each parity query
  };
  /// A group has closed: how its parity queries leave, or nullopt to leave it
  /// unprotected (a gate on load).
  virtual std::optional<Admission> AdmitParity(const Turn& /*turn*/,
                                               const Group& /*group*/,
                                               PolicyHost& /*host*/) {
    return Admission{};
  }

  /// A parity query that was paid for will not be sent.
  virtual void OnParityUnsent(Duration /*charged*/) {}

  /// The batch has left for its first worker.
  virtual void OnFirstDispatch(const Turn& /*turn*/, Batch& /*batch*/,
                               PolicyHost& /*host*/) {}

  /// The time asked for with ArmTimer has come.
  virtual void OnTimer(const Turn& /*turn*/, Batch& /*batch*/,
                       PolicyHost& /*host*/) {}

  /// A worker has begun with one of the batch's copies, and queries still wait.
  virtual void OnStarted(const Turn& /*turn*/, Batch& /*batch*/,
                         const Task& /*task*/, PolicyHost& /*host*/) {}

  /// A task has ended, of whatever kind, and took so much of a worker; nullopt
  /// if it was lost and nobody knows. Its batch may be gone.
  virtual void OnTaskEnded(const Task& /*task*/,
                           std::optional<Duration> /*service*/,
                           PolicyHost& /*host*/) {}

  /// A copy ended without an answer, and queries still wait; the core has
  /// already sent its one retry if one was due.
  virtual void OnCopyFailed(const Turn& /*turn*/, Batch& /*batch*/,
                            AttemptType /*attempt*/, PolicyHost& /*host*/) {}

  /// A reconstruction is here but not trusted enough to be released.
  virtual void OnDecodeHeld(const Turn& /*turn*/, Batch& /*batch*/,
                            PolicyHost& /*host*/) {}
};

/// When a copy of the batch usually answers: the median from dispatch to reply;
/// until that is known, its mean service time.
Duration UsualTime(const Turn& turn, const Batch& batch, PolicyHost& host);

/// The policy that a model's options name.
std::unique_ptr<RedundancyPolicy> CreatePolicy(const ModelOptions& model);

}  // namespace parm::core
