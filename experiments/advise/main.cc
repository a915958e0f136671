// parm-advise: what redundancy would give servers whose latencies were
// recorded, before anything is installed in front of them. Prints a table,
// writes a picture and a run record. Exit status: 0 done, 1 could not run, 2
// wrong usage or a bad file.

#include <cstdio>
#include <fstream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/json_writer.h"
#include "base/status_macros.h"
#include "experiments/advise/advice.h"
#include "experiments/advise/recorded_latencies.h"
#include "experiments/advise/tail_picture.h"
#include "experiments/run_record.h"
#include "experiments/utc_now.h"
#include "proto/duration.h"
#include "proto/machine_name.h"

namespace parm::advise {
namespace {

constexpr char kFooter[] = R"(
LATENCIES holds one latency a line (milliseconds), or is a dump of a server's
/metrics with a classic histogram. Each record is taken as the time that one
query keeps a server busy, so record at the servers, or at low load: waiting
that is in the records is simulated a second time.

Example: 24 servers at 400 queries/s, and what would be at 800
  parm-advise latencies.txt --servers 24 --rate 400 --rate 800 --picture t.svg
)";

struct Flags {
  std::string file;
  std::vector<double> loads;
  std::vector<double> rates;
  std::string unit;
  std::string metric;
  std::string deadline;
  std::string slow_lasts;
  double accuracy = 0;
  double reconstructed_accuracy = 0;
  std::string picture;
  std::string out;
  AdviceOptions advice;
};

void AddFlags(CLI::App& app, Flags& flags) {
  AdviceOptions& advice = flags.advice;
  app.footer(kFooter);
  app.set_version_flag("--version", "parm-advise " PARM_VERSION);
  app.add_option("latencies", flags.file, "Recorded latencies")
      ->required()
      ->type_name("LATENCIES");
  app.add_option("--servers", advice.servers, "How many servers there are")
      ->required()
      ->check(CLI::Range(1, 10'000));
  auto* const load =
      app.add_option("--load", flags.loads,
                     "Offered rate x mean latency / servers; several give a "
                     "table each")
          ->check(CLI::Range(0.001, 2.0));
  app.add_option("--rate", flags.rates, "The same in queries per second")
      ->check(CLI::Range(0.001, 1e9))
      ->excludes(load);
  app.add_option("--unit", flags.unit,
                 "Of the latencies (a column: ms; a histogram: as its name "
                 "says, else s)")
      ->check(CLI::IsMember({"s", "ms", "us"}));
  app.add_option("--metric", flags.metric,
                 "Which histogram of the dump, without _bucket");
  app.add_option("--slow-lasts", flags.slow_lasts,
                 "A server stays as slow or fast as it is for this long "
                 "(default: each query by itself)")
      ->type_name("DURATION");
  app.add_option("--deadline", flags.deadline,
                 "Of each query (default: three times the longest latency)")
      ->type_name("DURATION");
  app.add_option("--policy", advice.policy_files,
                 "A frontend.yaml with one model, beside the policies that "
                 "are always shown")
      ->type_name("FILE");
  app.add_option("--fault-domains", advice.fault_domains,
                 "Server i is in domain i modulo this")
      ->capture_default_str()
      ->check(CLI::Range(1, 10'000));
  app.add_option("--accuracy", flags.accuracy, "Of the model, if known")
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--reconstructed-accuracy", flags.reconstructed_accuracy,
                 "Of answers rebuilt from parity, if known (parm-train "
                 "evaluate)")
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--queries", advice.queries, "Simulated for each policy")
      ->capture_default_str()
      ->check(CLI::Range(1000, 10'000'000));
  app.add_option("--seed", advice.seed)->capture_default_str();
  app.add_option("--picture", flags.picture,
                 "Share of queries that took longer, SVG")
      ->type_name("FILE");
  app.add_option("--out", flags.out, "Run record to write")->type_name("FILE");
}

absl::Status ParseTime(const std::string& flag, const std::string& text,
                       Duration* value) {
  const absl::StatusOr<Duration> parsed = ParseDuration(text);
  if (!parsed.ok() || *parsed <= Duration{0}) {
    return absl::InvalidArgumentError(absl::StrCat(
        flag, ": got \"", text, "\", want a duration above 0 such as 500ms"));
  }
  *value = *parsed;
  return absl::OkStatus();
}

absl::Status ResolveFlags(Flags& flags) {
  if (!flags.deadline.empty()) {
    PARM_RETURN_IF_ERROR(ParseTime("--deadline", flags.deadline,
                                   &flags.advice.deadline.emplace()));
  }
  if (!flags.slow_lasts.empty()) {
    PARM_RETURN_IF_ERROR(
        ParseTime("--slow-lasts", flags.slow_lasts, &flags.advice.slow_lasts));
  }
  if (flags.accuracy > 0) flags.advice.accuracy = flags.accuracy;
  if (flags.reconstructed_accuracy > 0) {
    flags.advice.reconstructed_accuracy = flags.reconstructed_accuracy;
  }
  if (flags.loads.empty() && flags.rates.empty()) {
    return absl::InvalidArgumentError("want --load or --rate");
  }
  return absl::OkStatus();
}

absl::StatusOr<RecordedLatencies> Read(const Flags& flags) {
  ReadOptions options{.metric = flags.metric};
  if (!flags.unit.empty()) {
    options.unit = flags.unit == "s"    ? Unit::kSeconds
                   : flags.unit == "ms" ? Unit::kMilliseconds
                                        : Unit::kMicroseconds;
  }
  return ReadRecordedLatencies(flags.file, options);
}

void PrintRecorded(const RecordedLatencies& latencies) {
  absl::PrintF("%d latencies%s%s: mean %.4g ms, longest %.4g ms\n",
               latencies.num_records, latencies.metric.empty() ? "" : " of ",
               latencies.metric, latencies.Mean() * 1e3,
               latencies.seconds.back() * 1e3);
  if (latencies.share_above_bounds > 0) {
    absl::PrintF(
        "note: %.3g %% lie above the histogram's last bound and are taken to "
        "be at it: the true tail is longer\n",
        100 * latencies.share_above_bounds);
  }
  // As MLPerf counts for a quantile with any confidence.
  if (latencies.num_records < 4600) {
    absl::PrintF(
        "note: p99.9 of %d records is little more than their longest; want "
        "4,600 or more\n",
        latencies.num_records);
  }
}

std::string Cell(const Figure& figure, double scale, const char* format) {
  if (!figure) return "-";
  return absl::StrFormat(*absl::ParsedFormat<'g'>::New(format),
                         *figure * scale);
}

void PrintRow(const std::string& policy, const LatencyFigures& latency,
              const std::string& rest) {
  const std::string interval =
      absl::StrCat("(", Cell(latency.p99_9_low, 1, "%.4g"), " .. ",
                   Cell(latency.p99_9_high, 1, "%.4g"), ")");
  absl::PrintF("%-12s %9s %9s %9s %20s%s\n", policy,
               Cell(latency.p50, 1, "%.4g"), Cell(latency.p99, 1, "%.4g"),
               Cell(latency.p99_9, 1, "%.4g"), interval, rest);
}

void PrintTable(const RecordedLatencies& latencies,
                const std::vector<sim::LoadRun>& runs) {
  absl::PrintF("\nload %.3g: %.4g queries/s on %d servers\n",
               *runs.front().entry.load, *runs.front().entry.offered_qps,
               *runs.front().entry.workers);
  absl::PrintF("%-12s %9s %9s %9s %20s %7s %7s %7s %7s %7s\n", "policy",
               "p50 ms", "p99 ms", "p99.9 ms", "(95 % interval)", "rec. %",
               "acc. %", "no ans%", "jobs +", "work +");
  PrintRow("recorded",
           {.p50 = latencies.Quantile(0.5) * 1e3,
            .p99 = latencies.Quantile(0.99) * 1e3,
            .p99_9 = latencies.Quantile(0.999) * 1e3},
           "");
  for (const sim::LoadRun& run : runs) {
    const RunEntry& entry = run.entry;
    const auto queries = static_cast<double>(entry.queries);
    PrintRow(
        entry.policy, entry.latency_ms,
        absl::StrFormat(
            " %7.2f %7s %7.3f %7s %7s",
            100 * static_cast<double>(entry.answers.reconstructed) / queries,
            Cell(entry.accuracy.delivered, 100, "%.4g"),
            100 *
                static_cast<double>(entry.answers.error +
                                    entry.answers.default_answer) /
                queries,
            Cell(entry.extra_jobs_per_query, 1, "%.3g"),
            Cell(entry.extra_service_per_query, 1, "%.3g")));
  }
  absl::PrintF("%s", Verdict(runs));
}

// Of the pictures of this project, by policy.
std::string ColourOf(const std::string& policy) {
  static const std::map<std::string, std::string>* const kColours =
      new std::map<std::string, std::string>{{"none", "#4C566A"},
                                             {"hedge", "#4C72B0"},
                                             {"replicate", "#8172B3"},
                                             {"coded", "#C44E52"},
                                             {"hybrid", "#55A868"}};
  const auto found = kColours->find(policy);
  return found == kColours->end() ? "#CCB974" : found->second;
}

TailPanel PanelOf(const RecordedLatencies& latencies,
                  const std::vector<sim::LoadRun>& runs) {
  TailPanel panel{.title =
                      absl::StrFormat("load %.3g", *runs.front().entry.load)};
  const auto curve = [&panel](const std::string& label, bool dashed,
                              const auto& quantile_ms, double num_samples) {
    TailCurve& added = panel.curves.emplace_back();
    added.label = label;
    added.colour = dashed ? "#999999" : ColourOf(label);
    added.dashed = dashed;
    // Forty steps a decade, down to a handful of samples.
    for (double share = 1; share * num_samples >= 3; share /= 1.06) {
      added.points.push_back({quantile_ms(1 - share), share});
    }
  };
  for (const sim::LoadRun& run : runs) {
    curve(
        run.entry.policy, false,
        [&run](double quantile) {
          return ToSeconds(run.tally.latency().Quantile(quantile)) * 1e3;
        },
        static_cast<double>(run.entry.queries));
  }
  curve(
      "recorded", true,
      [&latencies](double quantile) {
        return latencies.Quantile(quantile) * 1e3;
      },
      static_cast<double>(latencies.num_records));
  return panel;
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

std::string ConfigJson(const Flags& flags, const RecordedLatencies& latencies) {
  std::string text;
  JsonWriter json(&text);
  json.BeginObject();
  json.Key("simulated").Bool(true);
  json.Key("latencies").String(flags.file);
  json.Key("metric").String(latencies.metric);
  json.Key("records").Uint(latencies.num_records);
  json.Key("mean_ms").Double(latencies.Mean() * 1e3);
  json.Key("slow_lasts_ms").Double(ToSeconds(flags.advice.slow_lasts) * 1e3);
  json.EndObject();
  return text;
}

absl::Status Run(Flags flags) {
  PARM_RETURN_IF_ERROR(ResolveFlags(flags));
  PARM_ASSIGN_OR_RETURN(const RecordedLatencies latencies, Read(flags));
  PrintRecorded(latencies);
  std::vector<double> loads = flags.loads;
  for (const double rate : flags.rates) {
    const double load = rate * latencies.Mean() / flags.advice.servers;
    if (load > 2) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "--rate: got %g queries/s, which is %.3g times what %d servers can "
          "do; want at most twice",
          rate, load, flags.advice.servers));
    }
    loads.push_back(load);
  }
  RunRecord record{.name = "advise",
                   .machine = MachineName(),
                   .seed = flags.advice.seed,
                   .started = UtcNow(),
                   .config_json = ConfigJson(flags, latencies)};
  std::vector<TailPanel> panels;
  for (const double load : loads) {
    flags.advice.load = load;
    PARM_ASSIGN_OR_RETURN(const std::vector<sim::LoadRun> runs,
                          Advise(latencies, flags.advice));
    PrintTable(latencies, runs);
    panels.push_back(PanelOf(latencies, runs));
    for (const sim::LoadRun& run : runs) record.runs.push_back(run.entry);
  }
  if (!flags.picture.empty()) {
    PARM_RETURN_IF_ERROR(Write(flags.picture, TailPictureSvg(panels)));
  }
  if (flags.out.empty()) return absl::OkStatus();
  return Write(flags.out, ToJson(record) + "\n");
}

}  // namespace
}  // namespace parm::advise

int main(int argc, char** argv) {
  CLI::App app(
      "What redundancy would give servers whose latencies were recorded: the "
      "frontend's own core on virtual time.");
  parm::advise::Flags flags;
  parm::advise::AddFlags(app, flags);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const absl::Status status = parm::advise::Run(std::move(flags));
  if (status.ok()) return 0;
  std::fprintf(stderr, "parm-advise: %s\n",
               std::string(status.message()).c_str());
  return status.code() == absl::StatusCode::kInvalidArgument ||
                 status.code() == absl::StatusCode::kNotFound
             ? 2
             : 1;
}
