#include "experiments/sim/incidents.h"

#include <utility>

namespace parm::sim {

namespace {
// What a draw is for, besides the incident's number.
enum Draw : uint64_t { kWhen = 1, kWho, kWhat, kHowLong, kSeen, kFinal };
}  // namespace

Incidents::Incidents(const Scenario& scenario, const Draws& draws,
                     Performer& world, std::vector<SimWorker>& workers)
    : scenario_(scenario),
      draws_(draws),
      world_(world),
      workers_(workers),
      troubled_(scenario.workers.size()) {}

bool Incidents::TakeAwaking() { return std::exchange(awaking_, false); }

void Incidents::PlanNext() {
  const Duration mean = scenario_.faults.mean_between_incidents;
  const std::vector<IncidentKind>& kinds = scenario_.faults.incidents;
  if (mean == Duration{0} || kinds.empty() || ended_) return;
  const uint64_t n = ++num_incidents_;
  const auto pick = [&](Draw what, size_t count) {
    return draws_.Bits(Purpose::kFault, n, what) % count;
  };
  world_.events.Push(
      {.at = world_.now + draws_.Exponential(mean, Purpose::kFault, n, kWhen),
       .what = Happening::kIncident,
       .small = static_cast<uint8_t>(kinds[pick(kWhat, kinds.size())]),
       .worker = static_cast<uint32_t>(pick(kWho, troubled_.size())),
       .id = n});
}

void Incidents::Stall(Duration span) {
  if (stalled_until_ > world_.now) return;
  stalled_until_ = world_.now + span;
  world_.set_awake_since(stalled_until_);
  awaking_ = span > scenario_.core.heartbeat_timeout / 2;
}

void Incidents::Strike(const SimEvent& event) {
  PlanNext();
  if (ended_) return;
  const Duration span =
      draws_.Between(Milliseconds(20), Scenario::kLongestIncident,
                     Purpose::kFault, event.id, kHowLong);
  const auto kind = static_cast<IncidentKind>(event.small);
  if (kind == IncidentKind::kFrontendStalls) {
    Stall(span);
  } else if (kind == IncidentKind::kDomainDies) {
    SimEvent death = event;
    death.small = static_cast<uint8_t>(IncidentKind::kDeath);
    const uint32_t domain = scenario_.workers[event.worker].fault_domain;
    for (uint32_t i = 0; i < workers_.size(); ++i) {
      if (scenario_.workers[i].fault_domain != domain) continue;
      death.worker = i;
      StrikeWorker(IncidentKind::kDeath, death, span);
    }
  } else {
    StrikeWorker(kind, event, span);
  }
}

void Incidents::StrikeWorker(IncidentKind kind, const SimEvent& event,
                             Duration span) {
  const uint32_t index = event.worker;
  if (troubled_[index]) return;
  SimWorker& worker = workers_[index];
  troubled_[index] = true;
  switch (kind) {
    case IncidentKind::kDeath:
      worker.Kill();
      world_.Disconnect(index);
      break;
    case IncidentKind::kPause:
      worker.Pause();
      break;
    case IncidentKind::kDisconnect:
      world_.Disconnect(index);
      break;
    case IncidentKind::kDrain:
      worker.Drain();
      world_.Later({.what = Happening::kDrainingAtFrontend, .worker = index});
      break;
    case IncidentKind::kFailsAtOnce:
      worker.FailTasks(draws_.Happens(0.5, Purpose::kFault, event.id, kFinal)
                           ? TaskError::kPermanent
                           : TaskError::kRetryable);
      break;
    case IncidentKind::kDomainDies:
    case IncidentKind::kFrontendStalls:
      break;  // not one worker's
  }
  const bool cut = !world_.connections[index].up;
  // Sometimes the connection's loss is not seen before the next hello.
  const bool seen = draws_.Happens(0.8, Purpose::kFault, event.id, kSeen);
  if (cut && (seen || kind == IncidentKind::kDisconnect)) {
    world_.Later({.what = Happening::kDownAtFrontend, .worker = index});
  }
  world_.events.Push({.at = world_.now + span,
                      .what = Happening::kIncidentOver,
                      .small = event.small,
                      .worker = index});
}

void Incidents::Mend(const SimEvent& event) {
  const uint32_t index = event.worker;
  SimWorker& worker = workers_[index];
  troubled_[index] = false;
  switch (static_cast<IncidentKind>(event.small)) {
    case IncidentKind::kDrain:
      worker.Kill();
      world_.Disconnect(index);
      [[fallthrough]];
    case IncidentKind::kDeath:
      worker.Start();
      [[fallthrough]];
    case IncidentKind::kDisconnect:
      world_.Reconnect(index);
      world_.Later({.what = Happening::kHelloAtFrontend, .worker = index});
      break;
    case IncidentKind::kPause:
      worker.Resume(world_.now);
      break;
    case IncidentKind::kFailsAtOnce:
      worker.FailTasks(TaskError::kNone);
      break;
    case IncidentKind::kDomainDies:
    case IncidentKind::kFrontendStalls:
      break;  // not one worker's
  }
}

}  // namespace parm::sim
