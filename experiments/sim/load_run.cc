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
#include "experiments/sim/sim_frontend.h"
#include "frontend/core/frontend_core.h"

namespace parm::sim {

namespace {

// SimEvent::small of an incident that is one worker's.
constexpr uint8_t kWorkerEvent = 1;
// What a draw of a query is for.
constexpr uint64_t kFrontend = 2;

class LoadSimulator {
 public:
  LoadSimulator(const LoadScenario& scenario, const Candidate& candidate,
                Scenario world, uint64_t seed)
      : scenario_(scenario),
        unit_(UnitOf(scenario, candidate)),
        deadline_(candidate.model().deadline),
        draws_(seed),
        plans_(scenario, draws_, seed, unit_.cost),
        pool_(now_),
        description_(WithLaw(std::move(world), &pool_)),
        workers_(MakeWorkers(description_, draws_, pool_)),
        arrivals_(scenario, draws_),
        tally_(deadline_) {
    for (uint8_t i = 0; i < scenario.num_frontends; ++i) {
      frontends_.push_back(std::make_unique<SimFrontend>(
          description_, draws_, plans_, i, workers_,
          [this](SimFrontend& frontend, const core::AnswerQuery& answer) {
            OnAnswer(frontend, answer);
          }));
      pool_.Add(*frontends_.back());
    }
  }

  absl::StatusOr<LoadRun> Run();

 private:
  // Taken where the measured part begins and ends.
  struct Mark {
    Time at{};
    double extra_jobs = 0;
    double late_originals = 0;
    Duration extra_service{0};
  };

  static Scenario WithLaw(Scenario world, JobLaw* law) {
    world.job_law = law;
    return world;
  }
  Mark TakeMark() const;
  // What happens to all is planned in the first one's world.
  EventQueue& events() { return frontends_.front()->world.events; }
  SimFrontend& Earliest() const;
  void PlanArrival() {
    arrival_ = arrivals_.Next();
    events().Push({.at = Time{} + arrival_.at, .what = Happening::kArrival});
  }
  void PlanPause(uint64_t period) {
    if (!scenario_.domain_pause) return;
    events().Push({.at = Time{} + static_cast<int64_t>(period) *
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
  void OnAnswer(const SimFrontend& frontend, const core::AnswerQuery& answer);
  RunEntry MakeEntry() const;

  const LoadScenario& scenario_;
  const RedundancyUnit unit_;
  const Duration deadline_;
  const Draws draws_;
  Time now_{};
  JobPlans plans_;
  SharedPool pool_;
  const Scenario description_;
  std::vector<SimWorker> workers_;
  std::vector<std::unique_ptr<SimFrontend>> frontends_;
  ArrivalStream arrivals_;
  Arrival arrival_;  // the next one
  LoadTally tally_;
  uint64_t first_measured_ = 0;  // its number; 0: still warming up
  // Of the measured queries: arrival, and how they ended.
  std::vector<LoggedQuery> queries_;
  std::vector<uint32_t> samples_;
  uint64_t num_answered_ = 0;  // of the measured queries
  Mark begin_;
  Mark end_;
};

LoadSimulator::Mark LoadSimulator::TakeMark() const {
  Mark mark = {.at = now_, .extra_service = plans_.totals().extra};
  for (const auto& frontend : frontends_) {
    const core::ModelCounters& counters =
        frontend->core().counters().models.front();
    for (size_t i = 0; i < counters.tasks.size(); ++i) {
      if (i == static_cast<size_t>(core::AttemptType::kOriginal)) continue;
      mark.extra_jobs += static_cast<double>(counters.tasks[i]);
    }
    mark.late_originals += static_cast<double>(counters.late_originals);
  }
  return mark;
}

SimFrontend& LoadSimulator::Earliest() const {
  return **std::min_element(
      frontends_.begin(), frontends_.end(),
      [](const auto& a, const auto& b) { return a->next() < b->next(); });
}

void LoadSimulator::Arrive() {
  const auto count = [&](bool on) {
    for (const auto& frontend : frontends_) frontend->ledger.set_counting(on);
    return TakeMark();
  };
  if (first_measured_ == 0 && now_ >= Time{} + scenario_.warm_up) {
    first_measured_ = arrival_.number;
    begin_ = count(true);
  }
  if (first_measured_ != 0 && queries_.size() < scenario_.num_queries) {
    queries_.push_back({.due = now_ - Time{}});
    samples_.push_back(arrival_.samples);
    if (queries_.size() == scenario_.num_queries) end_ = count(false);
  }
  // A client calls any of them.
  SimFrontend& frontend =
      *frontends_[draws_.Bits(Purpose::kQuery, arrival_.number, kFrontend) %
                  frontends_.size()];
  frontend.query_numbers.push_back(arrival_.number);
  frontend.world.now = now_;
  frontend.Tell(frontend.world.NewQuery(
      {.samples = arrival_.samples,
       .value = draws_.Bits(Purpose::kQuery, arrival_.number) | 1,
       .deadline = now_ + deadline_},
      /*signature=*/1));
  PlanArrival();
}

void LoadSimulator::OnAnswer(const SimFrontend& frontend,
                             const core::AnswerQuery& answer) {
  const uint64_t number = frontend.query_numbers[Raw(answer.query) - 1];
  if (first_measured_ == 0 || number < first_measured_ ||
      number - first_measured_ >= scenario_.num_queries) {
    return;
  }
  const uint64_t index = number - first_measured_;
  LoggedQuery& query = queries_[index];
  query.latency = now_ - Time{} - query.due;
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
    workers_[i].Pause();
  }
  events().Push({.at = now_ + scenario_.domain_pause->length,
                 .what = Happening::kIncidentOver,
                 .id = domain});
  PlanPause(event.id + 1);
}

void LoadSimulator::EndPause(const SimEvent& event) {
  for (auto i = static_cast<uint32_t>(event.id); i < scenario_.num_workers;
       i += scenario_.fault_domains) {
    workers_[i].Resume(now_);
  }
}

// What is silent takes long, which JobPlans knows.
void LoadSimulator::PlanWorkerEvents() {
  for (size_t i = 0; i < scenario_.worker_events.size(); ++i) {
    const WorkerEvent& event = scenario_.worker_events[i];
    if (event.kind == WorkerEvent::Kind::kSilent) continue;
    const auto push = [&](Duration at, Happening what) {
      events().Push({.at = Time{} + at,
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
  SimWorker& worker = workers_[event.worker];
  if (scenario_.worker_events[event.id].kind == WorkerEvent::Kind::kFailing) {
    return worker.FailTasks(TaskError::kRetryable);
  }
  worker.Kill();
  for (const auto& frontend : frontends_) {
    Performer& world = frontend->world;
    world.now = now_;
    world.Disconnect(event.worker);
    world.Later({.what = Happening::kDownAtFrontend, .worker = event.worker});
  }
}

void LoadSimulator::Mend(const SimEvent& event) {
  SimWorker& worker = workers_[event.worker];
  if (scenario_.worker_events[event.id].kind == WorkerEvent::Kind::kFailing) {
    return worker.FailTasks(TaskError::kNone);
  }
  worker.Start();
  for (const auto& frontend : frontends_) {
    Performer& world = frontend->world;
    world.now = now_;
    world.Reconnect(event.worker);
    world.Later({.what = Happening::kHelloAtFrontend, .worker = event.worker});
  }
}

void LoadSimulator::Happen(const SimEvent& event) {
  if (event.what == Happening::kArrival) {
    Arrive();
  } else if (event.what == Happening::kIncident) {
    event.small == kWorkerEvent ? Strike(event) : Pause(event);
  } else {
    event.small == kWorkerEvent ? Mend(event) : EndPause(event);
  }
}

absl::StatusOr<LoadRun> LoadSimulator::Run() {
  for (const auto& frontend : frontends_) {
    PARM_RETURN_IF_ERROR(frontend->Begin());
  }
  PlanArrival();
  PlanPause(1);
  PlanWorkerEvents();
  uint64_t num_events = 0;
  // Each query is answered by its deadline, so this ends.
  while (num_answered_ < scenario_.num_queries) {
    ++num_events;
    SimFrontend& frontend = Earliest();
    now_ = frontend.next();
    if (const auto event = frontend.Step()) Happen(*event);
    for (const auto& each : frontends_) {
      const Violations& violations = each->world.violations;
      if (violations.count() == 0) continue;
      return absl::InternalError(absl::StrCat(
          "the core broke a rule: ", absl::StrJoin(violations.texts(), "; ")));
    }
  }
  return LoadRun{.entry = MakeEntry(),
                 .tally = tally_,
                 .virtual_time = now_ - Time{},
                 .ordinary_service = plans_.totals().ordinary,
                 .extra_service = plans_.totals().extra,
                 .num_events = num_events,
                 .queries = std::move(queries_)};
}

RunEntry LoadSimulator::MakeEntry() const {
  RunEntry entry;
  FillSimulatedEntry(scenario_, tally_, end_.at - begin_.at, &entry);
  const auto queries = static_cast<double>(entry.queries);
  Duration wasted{0};
  for (const auto& frontend : frontends_) wasted += frontend->ledger.wasted();
  entry.late_share =
      std::min(1.0, (end_.late_originals - begin_.late_originals) / queries);
  entry.extra_jobs_per_query = (end_.extra_jobs - begin_.extra_jobs) / queries;
  const double clean_s = queries * ToSeconds(MeanCleanService(scenario_));
  entry.extra_service_per_query =
      ToSeconds(end_.extra_service - begin_.extra_service) / clean_s;
  entry.wasted_service_per_query = ToSeconds(wasted) / clean_s;
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
  PARM_ASSIGN_OR_RETURN(Scenario world, MakeWorld(scenario, candidate, seed));
  const auto simulator = std::make_unique<LoadSimulator>(
      scenario, candidate, std::move(world), seed);
  PARM_ASSIGN_OR_RETURN(LoadRun run, simulator->Run());
  run.entry.policy = candidate.policy;
  run.entry.code = LabelOf(candidate);
  return run;
}

}  // namespace parm::sim
