#include "experiments/sim/simulator.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "experiments/sim/draws.h"
#include "experiments/sim/incidents.h"
#include "experiments/sim/performer.h"
#include "experiments/sim/run_checks.h"
#include "experiments/sim/sim_worker.h"
#include "experiments/sim/worker_side.h"
#include "frontend/core/frontend_core.h"

namespace parm::sim {

namespace {

using core::Event;

// After the faulty phase: wait until all is well, send a burst, wait until all
// must be forgotten, drain.
enum class Phase : uint8_t { kFaulty, kRecovered, kForgotten, kDone };

enum Draw : uint64_t {
  kGap = 1,
  kModel,
  kSignature,
  kSamples,
  kMode,
  kDeadline,
  kLeaves,
  kLeavesAfter,
};

// Where it happens: a worker's side goes on while the frontend stands still.
bool AtFrontend(Happening what) {
  switch (what) {
    case Happening::kTaskAtWorker:
    case Happening::kCancelAtWorker:
    case Happening::kProbeAtWorker:
    case Happening::kServiceDone:
    case Happening::kHeartbeat:
    case Happening::kIncident:
    case Happening::kIncidentOver:
    case Happening::kPhase:
      return false;
    default:
      return true;
  }
}

class Simulator {
 public:
  explicit Simulator(const Scenario& scenario)
      : scenario_(scenario),
        draws_(scenario.seed),
        world_(scenario, draws_),
        workers_(MakeWorkers(scenario, draws_, world_)),
        worker_side_(scenario, draws_, world_, workers_),
        core_(core::FrontendCore::Create(scenario.core).value()),
        incidents_(scenario, draws_, world_, worker_side_.workers()) {}

  SimResult Run();

 private:
  void Tell(const Event& event) {
    const uint64_t silent = core_->counters().workers_silent;
    core_->Handle(world_.now, event, world_);
    if (incidents_.TakeAwaking()) {
      world_.violations.Check(core_->counters().workers_silent == silent,
                              "workers are blamed for the frontend's stall");
    }
    const core::CoreSizes sizes = core_->sizes();
    peak_.queries = std::max(peak_.queries, sizes.queries);
    peak_.batches = std::max(peak_.batches, sizes.batches);
    peak_.tasks = std::max(peak_.tasks, sizes.tasks);
    peak_.groups = std::max(peak_.groups, sizes.groups);
    peak_.timers = std::max(peak_.timers, sizes.timers);
    peak_.buffered_bytes = std::max(peak_.buffered_bytes, sizes.buffered_bytes);
  }
  void Happen(const SimEvent& event);
  void Arrive();
  QueryId Send(ModelId model, uint32_t signature, uint32_t samples,
               core::AnswerMode mode, Duration deadline);
  void EnterPhase(Phase phase, uint32_t model);
  void SendBurst(uint32_t model_index);
  void CheckDrain();
  void PlanPhase(Phase phase, Duration after, uint32_t model = 0);
  Duration LongestDeadline() const;

  const Scenario& scenario_;
  const Draws draws_;
  Performer world_;
  std::vector<SimWorker> workers_;
  WorkerSide worker_side_;
  std::unique_ptr<core::FrontendCore> core_;
  Incidents incidents_;
  core::CoreSizes peak_;
  Phase phase_ = Phase::kFaulty;
  uint64_t num_arrived_ = 0;
  Snapshot before_burst_;
  uint64_t burst_size_ = 0;
};

Duration Simulator::LongestDeadline() const {
  Duration longest{0};
  for (const core::ModelOptions& model : scenario_.core.models) {
    longest = std::max(longest, model.deadline);
  }
  return longest;
}

QueryId Simulator::Send(ModelId model, uint32_t signature, uint32_t samples,
                        core::AnswerMode mode, Duration deadline) {
  const core::QueryArrived query = world_.NewQuery(
      {.mode = mode,
       .model = model,
       .samples = samples,
       .value = draws_.Bits(Purpose::kQuery, world_.queries.size()) | 1,
       .deadline = world_.now + deadline},
      signature);
  Tell(query);
  return query.query;
}

void Simulator::Arrive() {
  const uint64_t n = ++num_arrived_;
  const auto draw = [&](Draw what) {
    return draws_.Unit(Purpose::kQuery, n, what);
  };
  const auto pick = [&](Draw what, uint32_t count) {
    return static_cast<uint32_t>(draws_.Bits(Purpose::kQuery, n, what) % count);
  };
  const ModelId model{
      pick(kModel, static_cast<uint32_t>(scenario_.core.models.size()))};
  const core::ModelOptions& options = scenario_.core.models[Raw(model)];
  const uint32_t signature =
      draw(kSignature) < scenario_.share_uncodable
          ? 0
          : 1 + pick(kSignature, scenario_.num_signatures);
  const double mode_draw = draw(kMode);
  const core::AnswerMode mode =
      mode_draw < scenario_.share_exact ? core::AnswerMode::kExact
      : mode_draw < scenario_.share_exact + scenario_.share_fast
          ? core::AnswerMode::kFast
          : core::AnswerMode::kBalanced;
  // One in ten has less time than the model allows.
  const double part = draw(kDeadline);
  const Duration deadline =
      part < 0.1
          ? std::max(Milliseconds(1),
                     FromSeconds(10 * part * ToSeconds(options.deadline)))
          : options.deadline;
  const QueryId id =
      Send(model, signature, 1 + pick(kSamples, scenario_.max_samples), mode,
           deadline);
  if (draw(kLeaves) < scenario_.faults.abandoned) {
    world_.events.Push(
        {.at = world_.now + draws_.Between(Duration{0}, 2 * scenario_.service,
                                           Purpose::kQuery, n, kLeavesAfter),
         .what = Happening::kClientLeaves,
         .id = Raw(id)});
  }
  if (num_arrived_ == scenario_.num_queries) {
    for (SimWorker& worker : worker_side_.workers()) worker.Behave();
    world_.set_faults(false);
    incidents_.End();
    PlanPhase(Phase::kRecovered, RecoveryBound(scenario_));
    return;
  }
  const Duration mean = FromSeconds(1 / scenario_.arrivals_per_s);
  world_.events.Push(
      {.at = world_.now + draws_.Exponential(mean, Purpose::kArrivalGap, n),
       .what = Happening::kArrival});
}

void Simulator::PlanPhase(Phase phase, Duration after, uint32_t model) {
  world_.events.Push({.at = world_.now + after,
                      .what = Happening::kPhase,
                      .small = static_cast<uint8_t>(phase),
                      .worker = model});
}

void Simulator::Happen(const SimEvent& event) {
  switch (event.what) {
    case Happening::kArrival:
      Arrive();
      return;
    case Happening::kClientLeaves:
      world_.queries.Abandon(QueryId{event.id});
      Tell(core::QueryAbandoned{.query = QueryId{event.id}});
      return;
    case Happening::kIncident:
      incidents_.Strike(event);
      return;
    case Happening::kIncidentOver:
      incidents_.Mend(event);
      return;
    case Happening::kHelloAtFrontend:
      if (event.epoch == world_.connections[event.worker].epoch) {
        Tell(worker_side_.HelloOf(event.worker));
      }
      return;
    case Happening::kPhase:
      EnterPhase(static_cast<Phase>(event.small), event.worker);
      return;
    default:
      break;
  }
  if (worker_side_.Happen(event)) return;
  Event core_event;
  if (world_.ToCoreEvent(event, &core_event)) Tell(core_event);
}

void Simulator::EnterPhase(Phase phase, uint32_t model) {
  phase_ = phase;
  if (phase == Phase::kRecovered) {
    if (model == 0)
      before_burst_ = TakeSnapshot(core_->counters(), worker_side_.workers());
    SendBurst(model);
    if (model + 1 < scenario_.core.models.size()) {
      // Once the slots are free again.
      PlanPhase(Phase::kRecovered, Milliseconds(1000), model + 1);
      return;
    }
    // What the burst, or the faulty phase before it, may still keep alive.
    PlanPhase(Phase::kForgotten,
              LongestDeadline() + scenario_.core.feedback_horizon +
                  scenario_.core.heartbeat_timeout +
                  2 * (scenario_.encode_time + scenario_.decode_time) +
                  Milliseconds(100));
  } else if (phase == Phase::kForgotten) {
    CheckBurst(scenario_, before_burst_,
               TakeSnapshot(core_->counters(), worker_side_.workers()),
               burst_size_, world_.violations);
    CheckForgotten(core_->sizes(), world_);
    CheckCounters(core_->counters(), world_);
    CheckDrain();
    phase_ = Phase::kDone;
  }
}

// Every worker is back and groups form again: whole groups of full batches, at
// least one batch per slot. One of each group may be reconstructed, which gives
// the group a reason for parity; the others take exact answers alone.
void Simulator::SendBurst(uint32_t model_index) {
  const core::ModelOptions& model = scenario_.core.models[model_index];
  const auto k = static_cast<uint32_t>(model.code ? model.code->spec().k : 1);
  const uint32_t num_groups = (NumSlots(scenario_) + k - 1) / k;
  for (uint32_t i = 0; i < num_groups * k; ++i) {
    const bool last = (i + 1) % k == 0;
    Send(ModelId{model_index}, /*signature=*/1, model.max_batch_size,
         last ? core::AnswerMode::kBalanced : core::AnswerMode::kExact,
         Milliseconds(5000));
    ++burst_size_;
  }
}

void Simulator::CheckDrain() {
  Tell(core::DrainRequested{});
  const auto kError = static_cast<size_t>(core::AnswerSource::kError);
  const uint64_t before = world_.queries.by_source()[kError];
  Send(ModelId{0}, 1, 1, core::AnswerMode::kBalanced, Milliseconds(100));
  world_.violations.Check(world_.queries.by_source()[kError] == before + 1,
                          "a draining core took a query");
}

SimResult Simulator::Run() {
  worker_side_.Begin();
  world_.events.Push(
      {.at = world_.now + Milliseconds(1), .what = Happening::kArrival});
  incidents_.PlanNext();
  const Time start = world_.now;
  while (phase_ != Phase::kDone && world_.violations.count() < 1000) {
    const Time wake = std::max(world_.wake, incidents_.stalled_until());
    if (world_.wake != kNever && wake <= world_.events.top().at) {
      world_.wake = kNever;
      world_.now = wake;
      Tell(core::TimerFired{});
      continue;
    }
    SimEvent event = world_.events.Pop();
    if (event.at < incidents_.stalled_until() && AtFrontend(event.what)) {
      event.at = incidents_.stalled_until();
      world_.events.Push(event);
      continue;
    }
    world_.now = event.at;
    Happen(event);
  }
  return {.violations = world_.violations.texts(),
          .num_violations = world_.violations.count(),
          .trace_hash = world_.trace_hash(),
          .num_actions = world_.num_actions(),
          .counters = core_->counters(),
          .peak = peak_,
          .virtual_time = world_.now - start};
}

}  // namespace

SimResult Simulate(const Scenario& scenario) {
  return Simulator(scenario).Run();
}

Duration RecoveryBound(const Scenario& scenario) {
  Duration longest_deadline{0};
  for (const core::ModelOptions& model : scenario.core.models) {
    longest_deadline = std::max(longest_deadline, model.deadline);
  }
  return Scenario::kLongestIncident + longest_deadline +
         scenario.core.heartbeat_timeout + 2 * scenario.core.probe_interval +
         scenario.core.ejection.max_ejection_time;
}

}  // namespace parm::sim
