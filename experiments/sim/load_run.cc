#include "experiments/sim/load_run.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "experiments/sim/draws.h"
#include "experiments/sim/job_plans.h"
#include "experiments/sim/joint_faults.h"
#include "experiments/sim/performer.h"
#include "experiments/sim/worker_side.h"
#include "frontend/core/frontend_core.h"

namespace parm::sim {

namespace {

// Poisson arrivals whose rate follows the scenario's load.
class Arrivals {
 public:
  Arrivals(const LoadScenario& scenario, const Draws& draws)
      : scenario_(scenario), draws_(draws) {}

  Duration Next() {
    // In units of the mean gap, used up at the rate of each part in turn.
    double left = ToSeconds(
        draws_.Exponential(Milliseconds(1000), Purpose::kArrivalGap, ++count_));
    while (step_ < scenario_.load_steps.size()) {
      const LoadStep& next = scenario_.load_steps[step_];
      const double until = ToSeconds(next.at - at_) * Rate();
      if (until >= left) break;
      left -= std::max(0.0, until);
      at_ = std::max(at_, next.at);
      load_ = next.load;
      ++step_;
    }
    at_ += FromSeconds(left / Rate());
    return at_;
  }

 private:
  double Rate() const {
    return load_ * scenario_.num_workers / ToSeconds(scenario_.pace.service);
  }

  const LoadScenario& scenario_;
  const Draws& draws_;
  double load_ = scenario_.load;
  size_t step_ = 0;
  Duration at_{0};
  uint64_t count_ = 0;
};

// SimEvent::small of an incident that is one worker's.
constexpr uint8_t kWorkerEvent = 1;

class LoadSimulator final : public core::ActionSink {
 public:
  LoadSimulator(const LoadScenario& scenario, const Candidate& candidate,
                Scenario world, uint64_t seed)
      : scenario_(scenario),
        unit_(UnitOf(scenario, candidate)),
        deadline_(candidate.model().deadline),
        draws_(seed),
        plans_(scenario, draws_, seed, unit_.cost),
        description_(WithLaw(std::move(world), &plans_)),
        world_(description_, draws_),
        worker_side_(description_, draws_, world_),
        arrivals_(scenario, draws_),
        tally_(deadline_) {}

  absl::StatusOr<LoadRun> Run();

  void Emit(const core::Action& action) override {
    if (const auto* answer = std::get_if<core::AnswerQuery>(&action)) {
      OnAnswer(*answer);
    }
    world_.Emit(action);
  }

 private:
  // Taken where the measured part begins and ends.
  struct Mark {
    Time at{};
    core::ModelCounters counters;
    JobPlans::Totals service;
  };

  static Scenario WithLaw(Scenario world, JobLaw* law) {
    world.job_law = law;
    return world;
  }
  Mark Now() const {
    return {.at = world_.now,
            .counters = core_->counters().models.front(),
            .service = plans_.totals()};
  }
  void Tell(const core::Event& event) {
    core_->Handle(world_.now, event, *this);
  }
  void PlanArrival() {
    world_.events.Push(
        {.at = Time{} + arrivals_.Next(), .what = Happening::kArrival});
  }
  void PlanPause(uint64_t period) {
    if (!scenario_.domain_pause) return;
    world_.events.Push({.at = Time{} + static_cast<int64_t>(period) *
                                           scenario_.domain_pause->every,
                        .what = Happening::kIncident,
                        .id = period});
  }
  void PlanWorkerEvents();
  void Strike(const SimEvent& event);
  void Mend(const SimEvent& event);
  void Arrive();
  void Pause(const SimEvent& event);
  void EndPause(const SimEvent& event);
  void Happen(const SimEvent& event);
  void OnAnswer(const core::AnswerQuery& answer);
  RunEntry MakeEntry() const;

  const LoadScenario& scenario_;
  const RedundancyUnit unit_;
  const Duration deadline_;
  const Draws draws_;
  JobPlans plans_;
  const Scenario description_;
  Performer world_;
  WorkerSide worker_side_;
  std::unique_ptr<core::FrontendCore> core_;
  Arrivals arrivals_;
  LoadTally tally_;
  uint64_t first_measured_ = 0;  // query id; 0: still warming up
  std::vector<Time> arrived_;    // of the measured queries
  uint64_t num_answered_ = 0;    // of the measured queries
  Mark begin_;
  Mark end_;
};

void LoadSimulator::Arrive() {
  if (first_measured_ == 0 && world_.now >= Time{} + scenario_.warm_up) {
    first_measured_ = world_.queries.size() + 1;
    begin_ = Now();
  }
  if (first_measured_ != 0 && arrived_.size() < scenario_.num_queries) {
    arrived_.push_back(world_.now);
    if (arrived_.size() == scenario_.num_queries) end_ = Now();
  }
  Tell(world_.NewQuery(
      {.value = draws_.Bits(Purpose::kQuery, world_.queries.size()) | 1,
       .deadline = world_.now + deadline_},
      /*signature=*/1));
  PlanArrival();
}

void LoadSimulator::OnAnswer(const core::AnswerQuery& answer) {
  const uint64_t id = Raw(answer.query);
  if (first_measured_ == 0 || id < first_measured_ ||
      id - first_measured_ >= scenario_.num_queries) {
    return;
  }
  const Duration latency = world_.now - arrived_[id - first_measured_];
  tally_.Record({.outcome = static_cast<Outcome>(answer.source),
                 .latency = latency,
                 .latency_from_send = latency,
                 .shed = answer.error == core::AnswerError::kOverloaded ||
                         answer.error == core::AnswerError::kNoWorker});
  ++num_answered_;
}

void LoadSimulator::Pause(const SimEvent& event) {
  const uint32_t domain = PausedDomain(scenario_, draws_, event.id);
  for (uint32_t i = domain; i < scenario_.num_workers;
       i += scenario_.fault_domains) {
    worker_side_.workers()[i].Pause();
  }
  world_.events.Push({.at = world_.now + scenario_.domain_pause->length,
                      .what = Happening::kIncidentOver,
                      .id = domain});
  PlanPause(event.id + 1);
}

void LoadSimulator::EndPause(const SimEvent& event) {
  for (auto i = static_cast<uint32_t>(event.id); i < scenario_.num_workers;
       i += scenario_.fault_domains) {
    worker_side_.workers()[i].Resume(world_.now);
  }
}

// What is silent takes long, which JobPlans knows.
void LoadSimulator::PlanWorkerEvents() {
  for (size_t i = 0; i < scenario_.worker_events.size(); ++i) {
    const WorkerEvent& event = scenario_.worker_events[i];
    if (event.kind == WorkerEvent::Kind::kSilent) continue;
    const auto push = [&](Duration at, Happening what) {
      world_.events.Push({.at = Time{} + at,
                          .what = what,
                          .small = kWorkerEvent,
                          .worker = event.worker,
                          .id = i});
    };
    push(event.at, Happening::kIncident);
    push(event.at + event.length, Happening::kIncidentOver);
  }
}

void LoadSimulator::Strike(const SimEvent& event) {
  SimWorker& worker = worker_side_.workers()[event.worker];
  if (scenario_.worker_events[event.id].kind == WorkerEvent::Kind::kFailing) {
    return worker.FailTasks(TaskError::kRetryable);
  }
  worker.Kill();
  world_.Disconnect(event.worker);
  world_.Later({.what = Happening::kDownAtFrontend, .worker = event.worker});
}

void LoadSimulator::Mend(const SimEvent& event) {
  SimWorker& worker = worker_side_.workers()[event.worker];
  if (scenario_.worker_events[event.id].kind == WorkerEvent::Kind::kFailing) {
    return worker.FailTasks(TaskError::kNone);
  }
  worker.Start();
  world_.Reconnect(event.worker);
  world_.Later({.what = Happening::kHelloAtFrontend, .worker = event.worker});
}

void LoadSimulator::Happen(const SimEvent& event) {
  switch (event.what) {
    case Happening::kArrival:
      Arrive();
      return;
    case Happening::kIncident:
      event.small == kWorkerEvent ? Strike(event) : Pause(event);
      return;
    case Happening::kIncidentOver:
      event.small == kWorkerEvent ? Mend(event) : EndPause(event);
      return;
    case Happening::kHelloAtFrontend:
      Tell(worker_side_.HelloOf(event.worker));
      return;
    default:
      break;
  }
  if (worker_side_.Happen(event)) return;
  core::Event core_event;
  if (world_.ToCoreEvent(event, &core_event)) Tell(core_event);
}

absl::StatusOr<LoadRun> LoadSimulator::Run() {
  PARM_ASSIGN_OR_RETURN(core_, core::FrontendCore::Create(description_.core));
  worker_side_.Begin();
  PlanArrival();
  PlanPause(1);
  PlanWorkerEvents();
  uint64_t num_events = 0;
  // Each query is answered by its deadline, so this ends.
  while (num_answered_ < scenario_.num_queries) {
    ++num_events;
    if (world_.wake <= world_.events.top().at) {
      world_.now = std::exchange(world_.wake, kNever);
      Tell(core::TimerFired{});
      continue;
    }
    const SimEvent event = world_.events.Pop();
    world_.now = event.at;
    Happen(event);
    if (world_.violations.count() > 0) {
      return absl::InternalError(
          absl::StrCat("the core broke a rule: ",
                       absl::StrJoin(world_.violations.texts(), "; ")));
    }
  }
  return LoadRun{.entry = MakeEntry(),
                 .tally = tally_,
                 .virtual_time = world_.now - Time{},
                 .num_events = num_events};
}

RunEntry LoadSimulator::MakeEntry() const {
  RunEntry entry;
  tally_.FillEntry(&entry);
  // No generator stands between schedule and send.
  entry.refused = std::nullopt;
  const auto queries = static_cast<double>(entry.queries);
  const double seconds = ToSeconds(end_.at - begin_.at);
  if (seconds > 0) {
    entry.offered_qps = (queries - 1) / seconds;
    const AnswerCounts& answers = entry.answers;
    entry.achieved_qps =
        *entry.offered_qps *
        (queries -
         static_cast<double>(answers.error + answers.default_answer)) /
        queries;
  }
  double extra_jobs = 0;
  for (size_t i = 0; i < begin_.counters.tasks.size(); ++i) {
    if (i == static_cast<size_t>(core::AttemptType::kOriginal)) continue;
    extra_jobs +=
        static_cast<double>(end_.counters.tasks[i] - begin_.counters.tasks[i]);
  }
  entry.late_share =
      std::min(1.0, static_cast<double>(end_.counters.late_originals -
                                        begin_.counters.late_originals) /
                        queries);
  entry.extra_jobs_per_query = extra_jobs / queries;
  entry.extra_service_per_query =
      ToSeconds(end_.service.extra - begin_.service.extra) /
      (queries * ToSeconds(scenario_.pace.service));
  // Expected, from the measured accuracies: nothing is computed here.
  AccuracyFigures& accuracy = entry.accuracy;
  accuracy = {.deployed = scenario_.deployed_accuracy,
              .exact = scenario_.deployed_accuracy};
  const auto approximate =
      static_cast<double>(entry.answers.reconstructed + entry.answers.backup);
  const auto exact =
      static_cast<double>(entry.answers.exact + entry.answers.hedged);
  if (approximate > 0) accuracy.reconstructed = unit_.accuracy;
  if (accuracy.deployed && (approximate == 0 || unit_.accuracy) &&
      exact + approximate > 0) {
    accuracy.delivered = (exact * *accuracy.deployed +
                          approximate * unit_.accuracy.value_or(0)) /
                         (exact + approximate);
  }
  return entry;
}

}  // namespace

absl::StatusOr<LoadRun> RunLoadScenario(const LoadScenario& scenario,
                                        const Candidate& candidate,
                                        uint64_t seed) {
  PARM_RETURN_IF_ERROR(CheckWorkers(scenario));
  if (scenario.num_frontends > 1) {
    return absl::InvalidArgumentError(
        absl::StrCat(scenario.file, ":", scenario.workers_line,
                     ": several frontends are not simulated: got ",
                     scenario.num_frontends, ", want 1"));
  }
  PARM_ASSIGN_OR_RETURN(Scenario world, MakeWorld(scenario, candidate, seed));
  const auto simulator = std::make_unique<LoadSimulator>(
      scenario, candidate, std::move(world), seed);
  PARM_ASSIGN_OR_RETURN(LoadRun run, simulator->Run());
  run.entry.policy = candidate.policy;
  run.entry.code = LabelOf(candidate);
  run.entry.scenario = scenario.name;
  run.entry.load = scenario.load;
  run.entry.workers = scenario.num_workers;
  return run;
}

}  // namespace parm::sim
