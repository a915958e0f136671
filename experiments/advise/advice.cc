#include "experiments/advise/advice.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "experiments/sim/candidate.h"
#include "experiments/sim/load_scenario.h"

namespace parm::advise {

namespace {

using sim::Candidate;
using sim::LoadRun;
using sim::LoadScenario;

// Within this of the lowest p99.9 a policy counts as good as it.
constexpr double kAsGood = 1.05;

struct Policy {
  absl::string_view name;
  uint32_t min_servers;
  absl::string_view redundancy;  // YAML
};
constexpr Policy kPolicies[] = {
    {"none", 1, "{policy: none}"},
    {"replicate", 2, "{policy: replicate}"},
    {"hedge", 2, "{policy: hedge}"},
    {"coded", 3, "{policy: coded, code: {scheme: sum, k: 2}"},
    {"hybrid", 5, "{policy: hybrid, code: {scheme: sum, k: 4}"},
};

Duration DeadlineOf(const RecordedLatencies& latencies,
                    const AdviceOptions& options) {
  if (options.deadline) return *options.deadline;
  // An hour is the most that a configuration takes.
  return std::clamp(FromSeconds(3 * latencies.seconds.back()),
                    Milliseconds(100), FromSeconds(3600));
}

LoadScenario MakeScenario(const RecordedLatencies& latencies,
                          const AdviceOptions& options) {
  const Duration mean = FromSeconds(latencies.Mean());
  LoadScenario scenario;
  scenario.name = "recorded";
  scenario.file = "parm-advise";
  scenario.num_workers = options.servers;
  scenario.fault_domains = std::min(options.fault_domains, options.servers);
  scenario.pace = {.service = mean, .per_extra_sample = mean};
  scenario.recorded =
      sim::RecordedService{latencies.seconds, options.slow_lasts};
  // The records hold the way there and back already.
  scenario.network_min = Duration{0};
  scenario.network_max = Microseconds(1);
  scenario.load = options.load;
  scenario.num_queries = options.queries;
  // Long enough for queues and quantiles to settle.
  scenario.warm_up = std::max(scenario.warm_up, 50 * mean);
  scenario.deployed_accuracy = options.accuracy;
  for (const int k : {2, 4}) {
    scenario.units.push_back(
        {.scheme = "sum", .k = k, .accuracy = options.reconstructed_accuracy});
  }
  return scenario;
}

absl::StatusOr<Candidate> BuiltIn(const Policy& policy, Duration deadline,
                                  Duration median) {
  // A short group waits as long as a query takes.
  const bool codes = absl::StrContains(policy.redundancy, "code");
  const std::string group =
      codes ? absl::StrCat(", group: {timeout: ",
                           std::max<int64_t>(1000, ToMicroseconds(median)),
                           "us}}")
            : "";
  PARM_ASSIGN_OR_RETURN(
      Candidate candidate,
      sim::ParseCandidate(
          absl::StrCat(
              "workers: [{endpoint: \"tcp://127.0.0.1:1\", ",
              "max_in_flight: 16}]\n",
              "models: [{name: model, deadline: ", ToMicroseconds(deadline),
              "us, redundancy: ", policy.redundancy, group, "}]\n"),
          absl::StrCat(policy.name, ".yaml")));
  return candidate;
}

absl::StatusOr<std::vector<Candidate>> Candidates(
    const RecordedLatencies& latencies, const AdviceOptions& options) {
  std::vector<Candidate> candidates;
  for (const Policy& policy : kPolicies) {
    if (policy.min_servers > options.servers) continue;
    PARM_ASSIGN_OR_RETURN(Candidate candidate,
                          BuiltIn(policy, DeadlineOf(latencies, options),
                                  FromSeconds(latencies.Quantile(0.5))));
    candidates.push_back(std::move(candidate));
  }
  for (const std::string& file : options.policy_files) {
    PARM_ASSIGN_OR_RETURN(Candidate candidate, sim::ReadCandidate(file));
    candidates.push_back(std::move(candidate));
  }
  return candidates;
}

double TailMs(const LoadRun& run) { return *run.entry.latency_ms.p99_9; }

bool AllExact(const LoadRun& run) {
  return run.entry.answers.reconstructed == 0 && run.entry.answers.backup == 0;
}

const LoadRun* LowestTail(absl::Span<const LoadRun> runs, bool exact_only) {
  const LoadRun* best = nullptr;
  for (const LoadRun& run : runs) {
    if (exact_only && !AllExact(run)) continue;
    if (best == nullptr || TailMs(run) < TailMs(*best)) best = &run;
  }
  return best;
}

std::string PriceOf(const LoadRun& run, const LoadRun& none) {
  return absl::StrFormat(
      "%s, %.4g ms (%+.0f %% of none's %.4g ms), for %.3f more jobs a query",
      run.entry.policy, TailMs(run), 100 * (TailMs(run) / TailMs(none) - 1),
      TailMs(none), run.entry.extra_jobs_per_query.value_or(0));
}

}  // namespace

absl::StatusOr<std::vector<LoadRun>> Advise(const RecordedLatencies& latencies,
                                            const AdviceOptions& options) {
  const Duration deadline = DeadlineOf(latencies, options);
  if (ToSeconds(deadline) <= latencies.Mean()) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "deadline is not above the mean latency: got %.4g ms, want more than "
        "%.4g ms",
        ToSeconds(deadline) * 1e3, latencies.Mean() * 1e3));
  }
  const LoadScenario scenario = MakeScenario(latencies, options);
  PARM_ASSIGN_OR_RETURN(const std::vector<Candidate> candidates,
                        Candidates(latencies, options));
  std::vector<LoadRun> runs;
  for (const Candidate& candidate : candidates) {
    PARM_ASSIGN_OR_RETURN(LoadRun run,
                          RunLoadScenario(scenario, candidate, options.seed));
    runs.push_back(std::move(run));
  }
  return runs;
}

std::string Verdict(absl::Span<const LoadRun> runs) {
  const LoadRun& none = runs.front();
  const LoadRun& best = *LowestTail(runs, false);
  std::string text;
  if (TailMs(none) <= kAsGood * TailMs(best)) {
    return "Nothing is 5 % better at p99.9 than no redundancy: these latencies "
           "have no tail that a second server could avoid.\n";
  }
  absl::StrAppend(&text, "Lowest p99.9: ", PriceOf(best, none), ".\n");
  const LoadRun& exact = *LowestTail(runs, true);
  if (&exact != &best) {
    absl::StrAppend(&text, "With answers of the model itself only: ",
                    PriceOf(exact, none), ".\n");
  }
  const int64_t unanswered =
      best.entry.answers.error + best.entry.answers.default_answer;
  if (unanswered > 0) {
    absl::StrAppend(&text, "But ", unanswered, " of ", best.entry.queries,
                    " queries had no answer by the deadline under ",
                    best.entry.policy, ".\n");
  }
  return text;
}

}  // namespace parm::advise
