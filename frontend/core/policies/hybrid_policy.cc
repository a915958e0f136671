#include "frontend/core/policies/hybrid_policy.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/types/span.h"
#include "base/status_macros.h"

namespace parm::core {

namespace {

constexpr uint8_t kYields = 1;
// Beyond this share of an admission bound, extra work is shed for queries.
constexpr double kFullestTables = 0.5;
// Of the lanes, for second copies at once: with the gate shut, and on top of
// it by how far it is open.
constexpr double kLanesShut = 0.25;
constexpr double kLanesOpen = 1.0;
// Twice what it is, for how groups are sized.
constexpr double kCostOfCopy = 2;
// So much of parity, beside `burst`.
constexpr double kGroupsSavedUp = 2;
// Lanes that stay idle beside early parity and copies, times the square root of
// all: about half of what the number of busy ones varies by.
constexpr double kIdleReserve = 0.5;
// The mean gap follows the last ones; a silence counts for a few times what
// it takes to be alone, so that groups form again soon after.
constexpr int kGapsAveraged = 8;
constexpr int kLongestGap = 4;
// Windows without stragglers, before the gate counts on it.
constexpr int kCalmAfter = 5;

int NumMembers(const RedundancyUnit& unit) { return unit.code->spec().k; }

Duration Times(double factor, Duration span) {
  return FromSeconds(factor * ToSeconds(span));
}

// Its parity queries; none where no decode may answer.
absl::Span<const Parity> ParitiesFor(const Batch& batch) {
  if (batch.group == nullptr || batch.num_decodable == 0) return {};
  return absl::MakeConstSpan(batch.group->parities)
      .first(batch.group->num_parities);
}

}  // namespace

HybridPolicy::HybridPolicy(const ModelOptions& model)
    : options_(model.hybrid),
      shut_extra_load_(model.hedge.budget.max_extra_load),
      burst_(model.hedge.budget.burst),
      min_delay_(model.hedge.min),
      group_timeout_(model.group_timeout),
      observe_(model.mode == PolicyMode::kObserve),
      hedge_(model),
      gate_(model.hybrid.gate),
      patience_(model.group_timeout) {
  PARM_CHECK(model.code != nullptr);
}

double HybridPolicy::CostOf(const RedundancyUnit& unit, int members) const {
  if (options_.parity_cost > 0) return options_.parity_cost;
  return unit.packs ? unit.cost * members / NumMembers(unit) : unit.cost;
}

// The smallest group that the load leaves ample room for: the smaller it is,
// the sooner its parity leaves.
int HybridPolicy::GroupSize(const RedundancyUnit& unit) const {
  // A copy costs a query all by itself, and cannot be interrupted.
  if (gate_.HasAmpleRoom(kCostOfCopy)) return 1;
  for (int size = 2; size < NumMembers(unit); ++size) {
    if (gate_.HasAmpleRoom(CostOf(unit, size) / size)) return size;
  }
  return NumMembers(unit);
}

bool HybridPolicy::HasRoom(BundleKey bundle, const PolicyHost& host) const {
  const auto lanes = static_cast<double>(host.NumLanes(bundle));
  const double reserve = std::ceil(kIdleReserve * std::sqrt(lanes));
  return host.HasIdleLanes(bundle, static_cast<uint64_t>(reserve));
}

bool HybridPolicy::IsAlone(const Batch& batch, const PolicyHost& host) const {
  const int num_siblings = NumMembers(host.UnitOf(batch.model, batch.unit)) - 1;
  if (num_siblings * mean_gap_ > patience_) return true;
  return group_size_ == 1 && HasRoom(batch.deployed, host);
}

bool HybridPolicy::JoinsGroup(const Batch& batch,
                              const PolicyHost& host) const {
  return IsCodable(batch.signature) && !IsAlone(batch, host);
}

bool HybridPolicy::ClosesEarly(const Group& group,
                               const PolicyHost& host) const {
  return group.num_members >= std::max(2, group_size_) &&
         HasRoom(group.key.deployed, host);
}

void HybridPolicy::NoteArrival(const Turn& turn, const Batch& batch,
                               PolicyHost& host) {
  // Parity that leaves later than a query takes comes too late for most.
  if (const auto delays = host.DelaysOf(turn, batch)) {
    patience_ = std::min(group_timeout_, delays->median);
  }
  const Duration gap =
      std::min(turn.now - last_arrival_, kLongestGap * patience_);
  last_arrival_ = turn.now;
  mean_gap_ += (gap - mean_gap_) / kGapsAveraged;
}

// Stragglers are told by how long copies run, which the extra work of others
// does not change: so the gate does not follow itself.
void HybridPolicy::NoteStragglers(const Turn& turn,
                                  const RunTimes::Estimate& runs,
                                  HedgeCounters& counters) {
  counters.straggler_share = runs.straggler_share;
  if (runs.straggler_share >= options_.gate.calm_share) {
    calm_from_ = turn.now + kCalmAfter * options_.gate.window;
  }
}

void HybridPolicy::OnFirstDispatch(const Turn& turn, Batch& batch,
                                   PolicyHost& host) {
  // Not "has no group": one that was shed has none any more.
  const bool alone = IsCodable(batch.signature) && !JoinsGroup(batch, host);
  NoteArrival(turn, batch, host);
  if (gate_.WantsSample(turn.now)) {
    gate_.Sample(turn.now, host.BusyShareBefore(batch));
  }
  HedgeCounters& counters = host.CountersOf(batch.model);
  const std::optional<RunTimes::Estimate>& runs = host.RunsOf(batch);
  if (runs) NoteStragglers(turn, *runs, counters);
  gate_.set_calm(turn.now >= calm_from_ && options_.gate.calm_share > 0);
  const RedundancyUnit& unit = host.UnitOf(batch.model, batch.unit);
  const int k = NumMembers(unit);
  group_size_ = GroupSize(unit);
  counters.load = gate_.load();
  const double parity_cost = CostOf(unit, k);
  const double opening = gate_.Opening(alone ? 1 : parity_cost / k);
  hedge_.budget().set_max_extra_load(
      shut_extra_load_ +
      opening * std::max(0.0, options_.max_extra_load - shut_extra_load_));
  // It must be able to save up for a group's parity beside what hedges keep.
  hedge_.budget().set_burst(burst_ + kGroupsSavedUp * parity_cost);
  hedge_.set_share_of_lanes(kLanesShut + opening * kLanesOpen);
  hedge_.NoteDispatch();
  Duration delay = hedge_.DelayOf(turn, batch, host);
  // At an idle lane it begins at once.
  if (runs && !batch.copies[0]->queued) {
    delay = std::min(delay, LateAfter(*runs));
  }
  host.ArmTimer(batch, turn.now + delay);
  if (alone) Replicate(turn, batch, host);
}

bool HybridPolicy::MayAdd(const Extra& extra, HedgeCounters& counters,
                          PolicyHost& host) {
  if (host.Fullness() > kFullestTables || hedge_.Braked() ||
      !gate_.Pass(extra.per_query)) {
    ++counters.shed_for_load;
    return false;
  }
  if (!hedge_.budget().CanSpare(extra.service,
                                Times(burst_ / 2, extra.one_copy))) {
    ++counters.shed_for_budget;
    return false;
  }
  return true;
}

std::optional<RedundancyPolicy::Admission> HybridPolicy::AdmitParity(
    const Turn& turn, const Group& group, PolicyHost& host) {
  Batch& first = *group.members[0];
  const RedundancyUnit& unit = host.UnitOf(group.key.model, group.key.unit);
  if (group.num_members == 1 && NumMembers(unit) > 1) {
    // No sibling has come. A copy costs no more than parity and is exact; later
    // than this the hedge does as well, if it is needed at all.
    if (turn.now - first.sent < UsualTime(turn, first, host) / 2) {
      Replicate(turn, first, host);
    }
    return std::nullopt;
  }
  const Duration service = host.MeanService(first.model, first.samples);
  const double cost = CostOf(unit, group.num_members);
  const Extra extra = {.service = Times(cost, service),
                       .per_query = cost / group.num_members,
                       .one_copy = service};
  HedgeCounters& counters = host.CountersOf(group.key.model);
  if (!MayAdd(extra, counters, host)) return std::nullopt;
  hedge_.budget().Charge(extra.service);
  return Admission{.priority = kYields,
                   .charged = extra.service / unit.code->spec().r};
}

void HybridPolicy::Replicate(const Turn& turn, Batch& batch, PolicyHost& host) {
  HedgeCounters& counters = host.CountersOf(batch.model);
  const Duration service = host.MeanService(batch.model, batch.samples);
  const Extra extra = {.service = service, .per_query = 1, .one_copy = service};
  // Half of the copies at once are left to hedges.
  if (host.NumInFlight(batch.model, AttemptType::kHedge) >=
      hedge_.MaxConcurrent(batch, host) / 2) {
    ++counters.shed_for_concurrency;
    return;
  }
  if (!MayAdd(extra, counters, host)) return;
  if (observe_) {
    ++counters.observed;
    counters.extra_service += service;
    hedge_.budget().Charge(service);
  } else if (Task* const copy =
                 host.SendCopy(turn, batch, AttemptType::kHedge, kYields)) {
    copy->charged = hedge_.budget().Charge(service);
  } else {
    ++counters.insufficient_workers;
    return;
  }
  ++counters.replicas;
}

// Until when the task is on time: it has begun and not run for long, or it is
// an ordinary one and has not waited for long. nullopt: nobody can tell, or it
// is lost.
std::optional<Time> HybridPolicy::OnTimeUntil(
    const Task& task, const std::optional<RunTimes::Estimate>& runs,
    Duration longest_wait, const PolicyHost& host) const {
  if (task.cancelled || !task.holds_slot) return std::nullopt;
  const bool has_begun = task.begun != Time{};
  const bool begins_at_once = !task.queued && !host.TellsBegins(task.worker);
  if (runs && (has_begun || begins_at_once)) {
    return (has_begun ? task.begun : task.copy.dispatched) + LateAfter(*runs);
  }
  if (has_begun || task.redundant) return std::nullopt;
  return task.copy.dispatched + longest_wait;
}

// When all that may answer the batch will be late, at the latest.
Time HybridPolicy::AllLateAt(const Turn& turn, const Batch& batch,
                             PolicyHost& host) const {
  Time latest = turn.now;
  const auto consider = [&latest](std::optional<Time> until) {
    latest = std::max(latest, until.value_or(latest));
  };
  const Duration delay = hedge_.DelayOf(turn, batch, host);
  for (size_t i = 0; i < batch.num_copies; ++i) {
    consider(OnTimeUntil(*batch.copies[i], host.RunsOf(batch), delay, host));
  }
  for (const Parity& parity : ParitiesFor(batch)) {
    if (parity.stage == ParityStage::kSent) {
      consider(
          OnTimeUntil(*parity.task, host.ParityRunsOf(batch), delay, host));
    } else if (parity.stage == ParityStage::kArrived &&
               batch.trigger > turn.now) {
      consider(batch.trigger + min_delay_);  // it is decoded at the trigger
    }
  }
  return latest;
}

// Second chances, so many that all of what the query has is late seldom enough.
int HybridPolicy::NumHedgesFor(const Batch& batch, PolicyHost& host) const {
  const std::optional<RunTimes::Estimate>& runs = host.RunsOf(batch);
  if (!runs || observe_) return 1;
  const absl::Span<const Parity> parities = ParitiesFor(batch);
  const auto parities_out = std::count_if(
      parities.begin(), parities.end(),
      [](const Parity& parity) { return parity.stage == ParityStage::kSent; });
  const int others = std::max(1, batch.num_copies - NumHedges(batch)) +
                     static_cast<int>(parities_out);
  const double all_late = std::pow(runs->straggler_share, others + 1);
  return all_late > options_.max_all_late ? 2 : 1;
}

void HybridPolicy::Hedge(const Turn& turn, Batch& batch, PolicyHost& host) {
  using Verdict = HedgePolicy::Verdict;
  const int most = NumHedgesFor(batch, host);
  Verdict verdict = hedge_.Hedge(turn, batch, most, host);
  if (verdict == Verdict::kSent && NumHedges(batch) < most &&
      HasRoom(batch.deployed, host)) {
    verdict = hedge_.Hedge(turn, batch, most, host);
  }
  if (verdict == Verdict::kLater) {
    hedge_.TryAgain(turn, batch, host);
  } else if (verdict == Verdict::kSent && NumHedges(batch) < most) {
    host.ArmTimer(batch, turn.now + LateAfter(*host.RunsOf(batch)));
  }
}

void HybridPolicy::OnStarted(const Turn& turn, Batch& batch, const Task& task,
                             PolicyHost& host) {
  // One that has waited may be late by itself before the query is. One that
  // began at once is looked at when its time has come.
  const bool has_waited = task.queued || batch.num_policy_timers > 0;
  const std::optional<RunTimes::Estimate>& runs = host.RunsOf(batch);
  if (task.attempt != AttemptType::kOriginal || !has_waited ||
      batch.policy_mark || !runs) {
    return;
  }
  const Time late = turn.now + LateAfter(*runs);
  if (late < batch.sent + hedge_.DelayOf(turn, batch, host)) {
    host.ArmTimer(batch, late);
  }
}

void HybridPolicy::OnTimer(const Turn& turn, Batch& batch, PolicyHost& host) {
  const Time late = AllLateAt(turn, batch, host);
  if (late > turn.now) {
    host.ArmTimer(batch, late);
    return;
  }
  if (!std::exchange(batch.policy_mark, true)) hedge_.NoteLate();
  Hedge(turn, batch, host);
}

void HybridPolicy::OnCopyFailed(const Turn& turn, Batch& batch,
                                AttemptType attempt, PolicyHost& host) {
  hedge_.OnCopyFailed(turn, batch, attempt, host);
}

void HybridPolicy::OnDecodeHeld(const Turn& turn, Batch& batch,
                                PolicyHost& host) {
  hedge_.OnDecodeHeld(turn, batch, host);
}

}  // namespace parm::core
