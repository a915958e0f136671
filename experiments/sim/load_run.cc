#include "experiments/sim/load_run.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "experiments/sim/arrival_stream.h"
#include "experiments/sim/draws.h"
#include "experiments/sim/job_plans.h"
#include "experiments/sim/joint_faults.h"
#include "experiments/sim/performer.h"
#include "experiments/sim/service_ledger.h"
#include "experiments/sim/worker_side.h"
#include "frontend/core/frontend_core.h"

namespace parm::sim {

namespace {

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
        ledger_(plans_),
        description_(WithLaw(std::move(world), &ledger_)),
        world_(description_, draws_),
        worker_side_(description_, draws_, world_),
        arrivals_(scenario, draws_),
        tally_(deadline_) {}

  absl::StatusOr<LoadRun> Run();

  void Emit(const core::Action& action) override {
    if (const auto* answer = std::get_if<core::AnswerQuery>(&action)) {
      OnAnswer(*answer);
    }
    ledger_.See(action);
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
    ledger_.See(event);
    core_->Handle(world_.now, event, *this);
  }
  void PlanArrival() {
    arrival_ = arrivals_.Next();
    world_.events.Push(
        {.at = Time{} + arrival_.at, .what = Happening::kArrival});
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
  ServiceLedger ledger_;
  const Scenario description_;
  Performer world_;
  WorkerSide worker_side_;
  std::unique_ptr<core::FrontendCore> core_;
  ArrivalStream arrivals_;
  Arrival arrival_;  // the next one
  LoadTally tally_;
  uint64_t first_measured_ = 0;  // query id; 0: still warming up
  // Of the measured queries: arrival, and how they ended.
  std::vector<LoggedQuery> queries_;
  std::vector<uint32_t> samples_;
  uint64_t num_answered_ = 0;  // of the measured queries
  Mark begin_;
  Mark end_;
};

void LoadSimulator::Arrive() {
  if (first_measured_ == 0 && world_.now >= Time{} + scenario_.warm_up) {
    first_measured_ = world_.queries.size() + 1;
    begin_ = Now();
    ledger_.set_counting(true);
  }
  if (first_measured_ != 0 && queries_.size() < scenario_.num_queries) {
    queries_.push_back({.due = world_.now - Time{}});
    samples_.push_back(arrival_.samples);
    if (queries_.size() == scenario_.num_queries) {
      end_ = Now();
      ledger_.set_counting(false);
    }
  }
  Tell(world_.NewQuery(
      {.samples = arrival_.samples,
       .value = draws_.Bits(Purpose::kQuery, world_.queries.size()) | 1,
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
  const uint64_t index = id - first_measured_;
  LoggedQuery& query = queries_[index];
  query.latency = world_.now - Time{} - query.due;
  query.outcome = static_cast<Outcome>(answer.source);
  tally_.Record({.outcome = query.outcome,
                 .latency = query.latency,
                 .latency_from_send = query.latency,
                 .shed = answer.error == core::AnswerError::kOverloaded ||
                         answer.error == core::AnswerError::kNoWorker,
                 .clean_service = CleanService(scenario_, samples_[index])});
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
                 .ordinary_service = plans_.totals().ordinary,
                 .extra_service = plans_.totals().extra,
                 .num_events = num_events,
                 .queries = std::move(queries_)};
}

RunEntry LoadSimulator::MakeEntry() const {
  RunEntry entry;
  FillSimulatedEntry(scenario_, tally_, end_.at - begin_.at, &entry);
  const auto queries = static_cast<double>(entry.queries);
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
  const double clean_s = queries * ToSeconds(MeanCleanService(scenario_));
  entry.extra_service_per_query =
      ToSeconds(end_.service.extra - begin_.service.extra) / clean_s;
  entry.wasted_service_per_query = ToSeconds(ledger_.wasted()) / clean_s;
  // Expected, from the measured accuracies: nothing is computed here.
  AccuracyFigures& accuracy = entry.accuracy;
  const auto approximate =
      static_cast<double>(entry.answers.reconstructed + entry.answers.backup);
  const auto exact =
      static_cast<double>(entry.answers.exact + entry.answers.hedged);
  if (approximate == 0) return entry;
  accuracy.reconstructed = unit_.accuracy;
  accuracy.delivered = std::nullopt;
  if (accuracy.deployed && unit_.accuracy) {
    accuracy.delivered =
        (exact * *accuracy.deployed + approximate * *unit_.accuracy) /
        (exact + approximate);
  }
  return entry;
}

}  // namespace

void FillSimulatedEntry(const LoadScenario& scenario, const LoadTally& tally,
                        Duration measured, RunEntry* entry) {
  tally.FillEntry(entry);
  // No generator stands between schedule and send.
  entry->refused = std::nullopt;
  const auto queries = static_cast<double>(entry->queries);
  const AnswerCounts& answers = entry->answers;
  if (measured > Duration{0}) {
    entry->offered_qps = (queries - 1) / ToSeconds(measured);
    entry->achieved_qps =
        *entry->offered_qps *
        (queries -
         static_cast<double>(answers.error + answers.default_answer)) /
        queries;
  }
  entry->accuracy = {.deployed = scenario.deployed_accuracy,
                     .exact = scenario.deployed_accuracy};
  if (answers.exact + answers.hedged > 0) {
    entry->accuracy.delivered = scenario.deployed_accuracy;
  }
  entry->scenario = scenario.name;
  entry->load = scenario.load;
  entry->workers = scenario.num_workers;
}

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
  return run;
}

}  // namespace parm::sim
