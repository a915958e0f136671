#include "frontend/core/policies/hybrid_policy.h"

#include <algorithm>

#include "base/status_macros.h"

namespace parm::core {

namespace {

constexpr uint8_t kYields = 1;
// Beyond this share of an admission bound, extra work is shed for queries.
constexpr double kFullestTables = 0.5;
// Of the lanes, for second copies at once: with the gate shut, and on top of
// it by how far it is open.
constexpr double kLanesShut = 0.25;
constexpr double kLanesOpen = 0.25;
// The mean gap follows the last ones; a silence counts for a few times what
// it takes to be alone, so that groups form again soon after.
constexpr int kGapsAveraged = 8;
constexpr int kLongestGap = 4;

double ParityCost(const ModelOptions& model) {
  PARM_CHECK(model.code != nullptr);
  if (model.hybrid.parity_cost > 0) return model.hybrid.parity_cost;
  const CodeSpec& spec = model.code->spec();
  return spec.scheme == "pack" ? 0 : spec.r;
}

// The budget must be able to save up for a parity query beside the reserve.
ModelOptions WithRoomForParity(const ModelOptions& model, double cost) {
  ModelOptions roomy = model;
  roomy.hedge.budget.burst += 2 * cost;
  return roomy;
}

Duration Times(double factor, Duration span) {
  return FromSeconds(factor * ToSeconds(span));
}

}  // namespace

HybridPolicy::HybridPolicy(const ModelOptions& model)
    : options_(model.hybrid),
      shut_extra_load_(model.hedge.budget.max_extra_load),
      reserve_(model.hedge.budget.burst / 2),
      parity_cost_(ParityCost(model)),
      mean_per_query_(parity_cost_ > 0 ? parity_cost_ / model.code->spec().k
                                       : 1),
      num_siblings_(model.code->spec().k - 1),
      group_timeout_(model.group_timeout),
      observe_(model.mode == PolicyMode::kObserve),
      hedge_(WithRoomForParity(
          model, parity_cost_ > 0 ? parity_cost_ : num_siblings_ + 1)),
      gate_(model.hybrid.gate),
      patience_(model.group_timeout) {}

bool HybridPolicy::JoinsGroup(const Batch& batch) const {
  return IsCodable(batch.signature) && num_siblings_ * mean_gap_ <= patience_;
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

void HybridPolicy::OnFirstDispatch(const Turn& turn, Batch& batch,
                                   PolicyHost& host) {
  const bool alone = IsCodable(batch.signature) && !JoinsGroup(batch);
  NoteArrival(turn, batch, host);
  if (gate_.WantsSample(turn.now)) {
    gate_.Sample(turn.now, host.BusyShareBefore(batch));
  }
  host.CountersOf(batch.model).load = gate_.load();
  const double opening = gate_.Opening(alone ? 1 : mean_per_query_);
  hedge_.budget().set_max_extra_load(
      shut_extra_load_ +
      opening * std::max(0.0, options_.max_extra_load - shut_extra_load_));
  hedge_.set_share_of_lanes(kLanesShut + opening * kLanesOpen);
  hedge_.OnFirstDispatch(turn, batch, host);
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
                                Times(reserve_, extra.one_copy))) {
    ++counters.shed_for_budget;
    return false;
  }
  return true;
}

void HybridPolicy::Charge(const Extra& extra, HedgeCounters& counters) {
  hedge_.budget().Charge(extra.service);
  counters.extra_service += extra.service;
}

std::optional<uint8_t> HybridPolicy::AdmitParity(const Turn& turn,
                                                 const Group& group,
                                                 PolicyHost& host) {
  Batch& first = *group.members[0];
  const Duration service = EstimatedService(turn, first, host);
  if (group.num_members == 1 && num_siblings_ > 0) {
    // No sibling has come. A copy costs no more than parity and is exact; later
    // than this the hedge does as well, if it is needed at all.
    if (turn.now - first.sent < service / 2) Replicate(turn, first, host);
    return std::nullopt;
  }
  const double cost = parity_cost_ > 0 ? parity_cost_ : group.num_members;
  const Extra extra = {.service = Times(cost, service),
                       .per_query = cost / group.num_members,
                       .one_copy = service};
  HedgeCounters& counters = host.CountersOf(group.key.model);
  if (!MayAdd(extra, counters, host)) return std::nullopt;
  Charge(extra, counters);
  return kYields;
}

void HybridPolicy::Replicate(const Turn& turn, Batch& batch, PolicyHost& host) {
  HedgeCounters& counters = host.CountersOf(batch.model);
  const Duration service = EstimatedService(turn, batch, host);
  const Extra extra = {.service = service, .per_query = 1, .one_copy = service};
  // Half of the copies at once are left to hedges.
  if (host.NumInFlight(batch.model, AttemptType::kHedge) >=
      hedge_.MaxConcurrent(batch, host) / 2) {
    ++counters.shed_for_budget;
    return;
  }
  if (!MayAdd(extra, counters, host)) return;
  if (observe_) {
    ++counters.observed;
  } else if (!host.SendCopy(turn, batch, AttemptType::kHedge, kYields)) {
    ++counters.insufficient_workers;
    return;
  }
  ++counters.replicas;
  Charge(extra, counters);
}

void HybridPolicy::OnTimer(const Turn& turn, Batch& batch, PolicyHost& host) {
  hedge_.OnTimer(turn, batch, host);
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
