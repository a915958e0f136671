// parm-sim: what policies would give under a scenario, on virtual time, with
// the frontend's own core. Writes a run record. Exit status: 0 done, 1 could
// not run, 2 wrong usage or a bad scenario, policy or trace file.

#include <cstdio>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/json_writer.h"
#include "base/status_macros.h"
#include "experiments/load/query_log.h"
#include "experiments/run_record.h"
#include "experiments/sim/bounds.h"
#include "experiments/sim/candidate.h"
#include "experiments/sim/live_plan.h"
#include "experiments/sim/load_run.h"
#include "experiments/sim/load_scenario.h"
#include "experiments/utc_now.h"
#include "proto/machine_name.h"

namespace parm::sim {
namespace {

constexpr double kLiveSeconds = 60;

struct Flags {
  std::string scenario;
  std::vector<std::string> policies;
  double load = 0;
  uint32_t servers = 0;
  uint64_t queries = 0;
  uint64_t seed = 1;
  std::string trace;
  std::string commit;
  std::string out;
  std::string logs;
  std::string plan;
  double seconds = 0;  // 0: not given
};

void AddFlags(CLI::App& app, Flags& flags) {
  app.set_version_flag("--version", "parm-sim " PARM_VERSION);
  app.add_option("scenario", flags.scenario, "Scenario file")
      ->required()
      ->type_name("SCENARIO.yaml");
  app.add_option("--policy", flags.policies,
                 "Instead of the scenario's: a name in ../policies/, the path "
                 "of a frontend.yaml, or a bound that none of them reaches: "
                 "oracle, infinite_servers; several run one after the other")
      ->type_name("POLICY");
  app.add_option("--load", flags.load, "Instead of the scenario's")
      ->check(CLI::Range(0.001, 2.0));
  app.add_option("--servers", flags.servers,
                 "All workers, instead of the scenario's")
      ->check(CLI::Range(1, 10'000));
  app.add_option("--queries", flags.queries,
                 "Measured queries, instead of the scenario's")
      ->check(CLI::Range(1, 10'000'000));
  app.add_option("--seed", flags.seed, "Of arrivals, service times and faults")
      ->capture_default_str();
  app.add_option("--trace", flags.trace,
                 "Recorded slow-downs, instead of the scenario's trace.file")
      ->type_name("FILE");
  app.add_option("--commit", flags.commit, "Record: commit");
  app.add_option("--out", flags.out, "Run record to write")->type_name("FILE");
  app.add_option("--logs", flags.logs,
                 "Folder for every measured query of each policy, POLICY.csv: "
                 "due_s (since the start of the warm-up), latency_ms, outcome")
      ->type_name("DIR");
  app.add_option("--plan", flags.plan,
                 "Simulates nothing: writes what real processes are to do for "
                 "this scenario, JSON (experiments/live)")
      ->type_name("FILE")
      ->excludes("--out");
  app.add_option("--seconds", flags.seconds,
                 "Measured part, instead of a number of queries; with --plan "
                 "of a live run, there 60 by default")
      ->check(CLI::Range(1, 86'400))
      ->excludes("--queries");
}

absl::StatusOr<LoadScenario> MakeScenario(const Flags& flags) {
  PARM_ASSIGN_OR_RETURN(LoadScenario scenario,
                        ReadLoadScenario(flags.scenario));
  if (flags.load > 0) scenario.load = flags.load;
  if (flags.servers > 0) scenario.num_workers = flags.servers;
  if (flags.queries > 0) scenario.num_queries = flags.queries;
  if (flags.seconds > 0) {
    scenario.num_queries =
        QueriesWithin(scenario, scenario.warm_up,
                      scenario.warm_up + FromSeconds(flags.seconds));
  }
  if (!flags.policies.empty()) scenario.policies = flags.policies;
  PARM_RETURN_IF_ERROR(CheckWorkers(scenario));
  PARM_RETURN_IF_ERROR(LoadTrace(flags.trace, &scenario));
  return scenario;
}

std::string ConfigJson(const Flags& flags, const LoadScenario& scenario) {
  std::string text;
  JsonWriter json(&text);
  json.BeginObject();
  json.Key("simulated").Bool(true);
  json.Key("scenario").String(flags.scenario);
  json.Key("service_ms").Double(ToSeconds(scenario.pace.service) * 1e3);
  json.Key("service_spread").Double(scenario.pace.spread);
  json.Key("warmup_s").Double(ToSeconds(scenario.warm_up));
  json.Key("trace").String(scenario.trace ? scenario.trace->file : "");
  json.EndObject();
  return text;
}

void PrintHeading() {
  absl::PrintF("%-16s %6s %8s %8s %8s %18s %7s %7s %7s %7s %7s %7s\n", "policy",
               "load", "p50 ms", "p99 ms", "p99.9 ms", "(95 % interval)",
               "> 2S %", "rec. %", "acc. %", "jobs +", "work +", "wasted");
}

void PrintRun(const RunEntry& run) {
  const auto text = [](const Figure& figure, double scale, int digits) {
    return figure ? absl::StrFormat("%.*f", digits, *figure * scale)
                  : std::string("-");
  };
  const LatencyFigures& latency = run.latency_ms;
  const std::string interval =
      absl::StrCat("(", text(latency.p99_9_low, 1, 1), " .. ",
                   text(latency.p99_9_high, 1, 1), ")");
  absl::PrintF("%-16s %6.3f %8s %8s %8s %18s %7s %7.2f %7s %7s %7s %7s\n",
               run.policy, *run.load, text(latency.p50, 1, 2),
               text(latency.p99, 1, 2), text(latency.p99_9, 1, 2), interval,
               text(run.tail_mass.over_2_service, 100, 2),
               100.0 * static_cast<double>(run.answers.reconstructed) /
                   static_cast<double>(run.queries),
               text(run.accuracy.delivered, 100, 2),
               text(run.extra_jobs_per_query, 1, 3),
               text(run.extra_service_per_query, 1, 3),
               text(run.wasted_service_per_query, 1, 3));
}

absl::Status Write(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (!file) {
    return absl::UnavailableError(absl::StrCat("cannot write: ", path));
  }
  return absl::OkStatus();
}

// A bound has the options of `none`, of which it takes the deadline.
absl::StatusOr<Candidate> ReadCandidateOrBound(const LoadScenario& scenario,
                                               const std::string& policy) {
  if (!IsBound(policy)) return ReadCandidate(CandidatePath(scenario, policy));
  PARM_ASSIGN_OR_RETURN(Candidate bound,
                        ReadCandidate(CandidatePath(scenario, "none")));
  bound.policy = policy;
  return bound;
}

absl::StatusOr<std::vector<Candidate>> ReadCandidates(
    const LoadScenario& scenario, const Flags& flags) {
  std::vector<Candidate> candidates;
  for (const std::string& policy : scenario.policies) {
    if (IsBound(policy) && !flags.plan.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(scenario.file, ":", scenario.policies_line,
                       ": policy is simulated only: ", policy));
    }
    PARM_ASSIGN_OR_RETURN(Candidate candidate,
                          ReadCandidateOrBound(scenario, policy));
    PARM_RETURN_IF_ERROR(MakeWorld(scenario, candidate, flags.seed).status());
    candidates.push_back(std::move(candidate));
  }
  return candidates;
}

absl::Status Run(const Flags& flags) {
  PARM_ASSIGN_OR_RETURN(const LoadScenario scenario, MakeScenario(flags));
  // All are read before the first runs.
  PARM_ASSIGN_OR_RETURN(const std::vector<Candidate> candidates,
                        ReadCandidates(scenario, flags));
  if (!flags.plan.empty()) {
    const double seconds = flags.seconds > 0 ? flags.seconds : kLiveSeconds;
    PARM_ASSIGN_OR_RETURN(
        const std::string plan,
        LivePlanJson(scenario, candidates, flags.seed, FromSeconds(seconds)));
    return Write(flags.plan, plan + "\n");
  }
  RunRecord record{.name = "sim",
                   .commit = flags.commit,
                   .machine = MachineName(),
                   .seed = flags.seed,
                   .started = UtcNow(),
                   .config_json = ConfigJson(flags, scenario)};
  PrintHeading();
  for (const Candidate& candidate : candidates) {
    PARM_ASSIGN_OR_RETURN(
        const LoadRun run,
        IsBound(candidate.policy)
            ? RunBound(scenario, candidate, flags.seed)
            : RunLoadScenario(scenario, candidate, flags.seed));
    PrintRun(run.entry);
    if (!flags.logs.empty()) {
      PARM_RETURN_IF_ERROR(
          Write(absl::StrCat(flags.logs, "/", candidate.policy, ".csv"),
                QueryLogCsv(run.queries)));
    }
    record.runs.push_back(run.entry);
  }
  return flags.out.empty() ? absl::OkStatus()
                           : Write(flags.out, ToJson(record) + "\n");
}

}  // namespace
}  // namespace parm::sim

int main(int argc, char** argv) {
  CLI::App app(
      "What policies would give under a scenario: the frontend's own core on "
      "virtual time.");
  parm::sim::Flags flags;
  parm::sim::AddFlags(app, flags);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const absl::Status status = parm::sim::Run(flags);
  if (status.ok()) return 0;
  std::fprintf(stderr, "parm-sim: %s\n", std::string(status.message()).c_str());
  return status.code() == absl::StatusCode::kInvalidArgument ||
                 status.code() == absl::StatusCode::kNotFound
             ? 2
             : 1;
}
