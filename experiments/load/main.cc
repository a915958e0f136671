// parm-load: drives one server with an open-loop schedule of real images,
// judges every answer, and writes one run of the run record. Exit status: 0
// done, 1 could not run, 2 wrong usage, 3 the run is refused because sends were
// late.

#include <sched.h>
#include <sys/prctl.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/json_writer.h"
#include "base/status_macros.h"
#include "experiments/load/grpc_client.h"
#include "experiments/load/http_client.h"
#include "experiments/load/load_generator.h"
#include "experiments/run_record.h"
#include "experiments/utc_now.h"
#include "proto/machine_name.h"
#include "proto/oip/metadata_json.h"
#include "proto/strict_yaml.h"

namespace parm {
namespace {

constexpr int kRefused = 3;

struct Flags {
  std::string url = "127.0.0.1:8000";
  std::string model;
  std::string input;
  std::string data;
  std::string reference_logits;
  std::string arrivals = "poisson";
  double rate = 0;
  std::vector<std::string> rate_steps;
  std::string bursts;
  std::string duration = "60s";
  std::string warm_up = "2s";
  std::string deadline = "500ms";
  std::string timeout = "5s";
  std::string spin = "100us";
  bool send_deadline = false;
  std::string mode;
  bool json = false;
  std::string batch_sizes;
  int connections = 16;
  int max_connections = 1024;
  uint64_t seed = 1;
  bool realtime = true;
  int64_t process_id = 0;
  std::string out;
  std::string cdf;
  std::string log;
  std::string check_record;
  // Labels of the record.
  std::string name = "load";
  std::string commit;
  std::string policy = "unknown";
  std::string code;
  std::string scenario = "none";
  double load = -1;
  int64_t workers = -1;
  int64_t repeat = 0;
  std::string clean_service = "0s";
  std::string clean_extra_sample = "0s";
};

void AddFlags(CLI::App& app, Flags& flags) {
  app.add_option("--url", flags.url,
                 "Server: ADDRESS:PORT, with http:// (the default) or grpc:// "
                 "before it; an IPv6 address in brackets")
      ->capture_default_str();
  app.add_option("--model", flags.model, "Model name on the server");
  app.add_option("--input-name", flags.input,
                 "Input of the model; default: its only one");
  app.add_option("--data", flags.data,
                 "Test set, idx:DIR as MNIST is published");
  app.add_option("--reference-logits", flags.reference_logits,
                 "The deployed model's outputs on the test set, .npy");
  app.add_option("--rate", flags.rate, "Queries per second");
  app.add_option("--arrivals", flags.arrivals,
                 "poisson, constant, or trace:FILE with the seconds of each "
                 "arrival, which gives the rate too")
      ->capture_default_str();
  app.add_option("--rate-step", flags.rate_steps,
                 "From AT on another rate, as 10s:800; several; AT counts from "
                 "the start of the warm-up")
      ->type_name("AT:RATE");
  app.add_option("--bursts", flags.bursts,
                 "At RATE for the last LENGTH of EVERY, as 800:1s:10s")
      ->type_name("RATE:LENGTH:EVERY");
  app.add_option("--duration", flags.duration, "Measured part, as 60s")
      ->capture_default_str();
  app.add_option("--warmup", flags.warm_up, "Before it, not measured")
      ->capture_default_str();
  app.add_option("--deadline", flags.deadline,
                 "Errors and defaults count as at least this late")
      ->capture_default_str();
  app.add_flag("--send-deadline", flags.send_deadline,
               "Also send the deadline as parm_deadline_us");
  app.add_option("--mode", flags.mode, "Sent as parm_mode")
      ->check(CLI::IsMember({"exact", "balanced", "fast"}));
  app.add_flag("--json", flags.json,
               "Tensors as JSON numbers, both ways; HTTP only");
  app.add_option("--batch-sizes", flags.batch_sizes,
                 "Queries of several images, as 1:0.7,4:0.3: share of the "
                 "queries that hold so many; default: one each")
      ->type_name("SAMPLES:SHARE,...");
  app.add_option("--timeout", flags.timeout, "After it a query is lost")
      ->capture_default_str();
  app.add_option("--connections", flags.connections, "Opened at the start")
      ->capture_default_str()
      ->check(CLI::Range(1, 10'000));
  app.add_option("--max-connections", flags.max_connections, "Opened at most")
      ->capture_default_str()
      ->check(CLI::Range(1, 10'000));
  app.add_option("--seed", flags.seed, "Of schedule and sample order")
      ->capture_default_str();
  app.add_option("--spin", flags.spin,
                 "Watch the clock this long before each send")
      ->capture_default_str();
  app.add_flag("--realtime,!--no-realtime", flags.realtime,
               "Ask for a real-time priority (kept without if refused)");
  app.add_option("--process", flags.process_id,
                 "Process whose CPU time and memory are recorded");
  app.add_option("--out", flags.out, "Run record to write");
  app.add_option("--cdf", flags.cdf, "Latency distribution to write, CSV");
  app.add_option("--log", flags.log,
                 "Every measured query to write, CSV: due_s (since the start "
                 "of the warm-up), latency_ms, outcome");
  app.add_option("--check-record", flags.check_record,
                 "Only check this run record against the schema");
  app.add_option("--name", flags.name, "Record: name")->capture_default_str();
  app.add_option("--commit", flags.commit, "Record: commit");
  app.add_option("--policy", flags.policy, "Record: policy of the server");
  app.add_option("--code", flags.code, "Record: code, SCHEME:K:R");
  app.add_option("--scenario", flags.scenario, "Record: scenario");
  app.add_option("--load", flags.load, "Record: load of the workers");
  app.add_option("--workers", flags.workers, "Record: number of workers");
  app.add_option("--repeat", flags.repeat, "Record: which repeat");
  app.add_option("--clean-service", flags.clean_service,
                 "Mean service time where nothing goes wrong, as 20ms; the "
                 "record then has the shares of queries over 2, 3, 5 of it");
  app.add_option("--clean-extra-sample", flags.clean_extra_sample,
                 "What each further image of a query adds to it");
}

absl::StatusOr<std::vector<RateStep>> ToRateSteps(const Flags& flags,
                                                  Duration length) {
  if (!flags.bursts.empty()) {
    const std::vector<std::string> parts = absl::StrSplit(flags.bursts, ':');
    double rate = 0;
    if (parts.size() != 3 || !absl::SimpleAtod(parts[0], &rate) ||
        !flags.rate_steps.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--bursts wants RATE:LENGTH:EVERY, and no --rate-step: "
                       "got ",
                       flags.bursts));
    }
    PARM_ASSIGN_OR_RETURN(const Duration burst, ParseDuration(parts[1]));
    PARM_ASSIGN_OR_RETURN(const Duration every, ParseDuration(parts[2]));
    return BurstSteps(flags.rate, rate, burst, every, length);
  }
  std::vector<RateStep> steps;
  for (const std::string& text : flags.rate_steps) {
    const std::vector<std::string> parts = absl::StrSplit(text, ':');
    RateStep step;
    if (parts.size() != 2 || !absl::SimpleAtod(parts[1], &step.rate_qps)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--rate-step wants AT:RATE: got ", text));
    }
    PARM_ASSIGN_OR_RETURN(step.at, ParseDuration(parts[0]));
    steps.push_back(step);
  }
  return steps;
}

absl::StatusOr<ArrivalOptions> ToArrivals(const Flags& flags, Duration length) {
  ArrivalOptions arrivals = {
      .rate_qps = flags.rate, .length = length, .seed = flags.seed};
  absl::string_view law = flags.arrivals;
  if (absl::ConsumePrefix(&law, "trace:")) {
    arrivals.law = ArrivalLaw::kRecorded;
    PARM_ASSIGN_OR_RETURN(arrivals.recorded, ReadArrivals(std::string(law)));
    return arrivals;
  }
  if (law != "poisson" && law != "constant") {
    return absl::InvalidArgumentError(
        absl::StrCat("--arrivals wants poisson, constant or trace:FILE: got ",
                     flags.arrivals));
  }
  arrivals.law =
      law == "poisson" ? ArrivalLaw::kPoisson : ArrivalLaw::kConstant;
  PARM_ASSIGN_OR_RETURN(arrivals.steps, ToRateSteps(flags, length));
  return arrivals;
}

absl::Status ReadUrl(absl::string_view url, LoadClientOptions* options) {
  absl::string_view address = url;
  if (absl::ConsumePrefix(&address, "grpc://")) {
    options->protocol = LoadProtocol::kGrpc;
  } else {
    absl::ConsumePrefix(&address, "http://");
  }
  const size_t colon = std::min(address.rfind(':'), address.size());
  absl::string_view host = address.substr(0, colon);
  const bool bracketed =
      absl::ConsumePrefix(&host, "[") && absl::ConsumeSuffix(&host, "]");
  uint32_t port = 0;
  if (colon == address.size() ||
      !absl::SimpleAtoi(address.substr(colon + 1), &port) || port > 65'535 ||
      bracketed != absl::StrContains(host, ':')) {
    return absl::InvalidArgumentError(
        absl::StrCat("--url wants ADDRESS:PORT, an IPv6 address in brackets, "
                     "with http:// or grpc:// before it or neither: got ",
                     url));
  }
  options->host = std::string(host);
  options->port = static_cast<uint16_t>(port);
  return absl::OkStatus();
}

absl::StatusOr<LoadOptions> ToLoadOptions(const Flags& flags) {
  LoadOptions options;
  PARM_RETURN_IF_ERROR(ReadUrl(flags.url, &options.client));
  options.client.initial_connections =
      std::min(flags.connections, flags.max_connections);
  options.client.max_connections = flags.max_connections;
  PARM_ASSIGN_OR_RETURN(options.client.reply_timeout,
                        ParseDuration(flags.timeout));
  PARM_ASSIGN_OR_RETURN(const Duration measured, ParseDuration(flags.duration));
  PARM_ASSIGN_OR_RETURN(options.warm_up, ParseDuration(flags.warm_up));
  PARM_ASSIGN_OR_RETURN(options.deadline, ParseDuration(flags.deadline));
  PARM_ASSIGN_OR_RETURN(options.clean_service,
                        ParseDuration(flags.clean_service));
  PARM_ASSIGN_OR_RETURN(options.clean_extra_sample,
                        ParseDuration(flags.clean_extra_sample));
  if (!flags.batch_sizes.empty()) {
    PARM_ASSIGN_OR_RETURN(options.batches, ParseBatchShares(flags.batch_sizes));
  }
  PARM_ASSIGN_OR_RETURN(options.spin, ParseDuration(flags.spin));
  PARM_ASSIGN_OR_RETURN(options.arrivals,
                        ToArrivals(flags, options.warm_up + measured));
  options.process_id = flags.process_id;
  options.log_queries = !flags.log.empty();
  return options;
}

absl::StatusOr<std::optional<CodeLabel>> ParseCode(const std::string& text) {
  if (text.empty()) return std::nullopt;
  const std::vector<std::string> parts = absl::StrSplit(text, ':');
  CodeLabel code;
  if (parts.size() != 3 || !absl::SimpleAtoi(parts[1], &code.k) ||
      !absl::SimpleAtoi(parts[2], &code.r)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--code wants SCHEME:K:R: got ", text));
  }
  code.scheme = parts[0];
  return code;
}

/// Sleeps end late; each of these makes them less so, where it is allowed.
std::string AskForPunctualWakes(bool realtime) {
  prctl(PR_SET_TIMERSLACK, 1UL);
  const sched_param priority{.sched_priority = 1};
  if (realtime && sched_setscheduler(0, SCHED_FIFO, &priority) == 0) {
    return "fifo";
  }
  return "other";
}

// Distance from the schedule's law and how likely one like it is by chance.
void WriteKs(absl::string_view key, const std::optional<KsResult>& ks,
             JsonWriter& json) {
  json.Key(absl::StrCat(key, "_ks"));
  if (!ks) {
    json.Null();
    return;
  }
  json.BeginObject();
  json.Key("distance").Double(ks->distance);
  json.Key("probability").Double(ks->probability);
  json.EndObject();
}

std::string ConfigJson(const Flags& flags, const std::string& scheduling,
                       const LoadReport& report) {
  std::string text;
  JsonWriter json(&text);
  json.BeginObject();
  json.Key("url").String(flags.url).Key("model").String(flags.model);
  json.Key("data").String(flags.data);
  json.Key("arrivals").String(flags.arrivals).Key("rate").Double(flags.rate);
  if (!flags.bursts.empty()) json.Key("bursts").String(flags.bursts);
  if (!flags.rate_steps.empty()) {
    json.Key("rate_steps").String(absl::StrJoin(flags.rate_steps, ","));
  }
  WriteKs("send_gaps", report.send_gaps, json);
  WriteKs("send_times", report.send_times, json);
  json.Key("duration").String(flags.duration);
  json.Key("warmup").String(flags.warm_up);
  json.Key("warmup_queries").Int(report.warm_up_queries);
  json.Key("deadline").String(flags.deadline);
  json.Key("timeout").String(flags.timeout);
  json.Key("mode").String(flags.mode);
  json.Key("encoding").String(flags.json ? "json" : "binary");
  json.Key("batch_sizes").String(flags.batch_sizes);
  json.Key("scheduling").String(scheduling).Key("spin").String(flags.spin);
  json.Key("largest_in_flight").Int(report.largest_in_flight);
  json.Key("first_error").String(report.first_error());
  json.EndObject();
  return text;
}

absl::Status WriteFile(const std::string& path, const std::string& text) {
  if (path.empty()) return absl::OkStatus();
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (!file) {
    return absl::UnavailableError(absl::StrCat("cannot write: ", path));
  }
  return absl::OkStatus();
}

void PrintSummary(const RunEntry& run, const LoadReport& report) {
  const auto text = [](const Figure& figure) {
    return figure.has_value() ? absl::StrFormat("%.3f", *figure) : "-";
  };
  absl::PrintF("queries %d  offered %s/s  achieved %s/s\n", run.queries,
               text(run.offered_qps), text(run.achieved_qps));
  // They add up to the queries.
  std::vector<std::string> outcomes;
  for (size_t i = 0; i < kNumOutcomes; ++i) {
    const auto outcome = static_cast<Outcome>(i);
    outcomes.push_back(
        absl::StrCat(OutcomeName(outcome), " ", report.tally.count(outcome)));
  }
  absl::PrintF("%s\n", absl::StrJoin(outcomes, "  "));
  const LatencyFigures& latency = run.latency_ms;
  absl::PrintF("latency ms  p50 %s  p90 %s  p99 %s  p99.9 %s  max %s\n",
               text(latency.p50), text(latency.p90), text(latency.p99),
               text(latency.p99_9), text(latency.max));
  absl::PrintF("send lag ms  p50 %s  p99 %s  p99.9 %s  max %s  over 1 ms %s\n",
               text(run.send_lag_ms.p50), text(run.send_lag_ms.p99),
               text(run.send_lag_ms.p99_9), text(run.send_lag_ms.max),
               text(run.send_lag_ms.over_1ms_share));
  if (report.send_times) {
    absl::PrintF(
        "sends against their law (Kolmogorov-Smirnov)  times p = %.3f  gaps p "
        "= %.3f\n",
        report.send_times->probability, report.send_gaps->probability);
  }
  absl::PrintF("accuracy  delivered %s  exact %s  reconstructed %s\n",
               text(run.accuracy.delivered), text(run.accuracy.exact),
               text(run.accuracy.reconstructed));
  if (run.cpu_us_per_query.has_value()) {
    absl::PrintF("process  %s CPU-us per query  %s MB\n",
                 text(run.cpu_us_per_query), text(run.rss_mb));
  }
  for (const ErrorKind& kind : report.errors) {
    absl::PrintF("%d x %s\n", kind.count, kind.message);
  }
  if (report.other_errors > 0) {
    absl::PrintF("%d x others\n", report.other_errors);
  }
}

absl::StatusOr<oip::ModelMetadata> AskModel(const LoadClientOptions& client,
                                            const std::string& model) {
  if (client.protocol == LoadProtocol::kGrpc) {
    return GrpcModelMetadata(client, model);
  }
  PARM_ASSIGN_OR_RETURN(ServerReply reply,
                        HttpGet(client, absl::StrCat("/v2/models/", model)));
  if (!reply.error.empty()) return absl::UnavailableError(reply.error);
  return oip::ParseModelMetadata(oip::BodyOf(std::move(reply.body)));
}

absl::StatusOr<InferWire> AskServer(const Flags& flags,
                                    const LoadOptions& options,
                                    const TestData& data) {
  const LoadClientOptions& client = options.client;
  const auto metadata = AskModel(client, flags.model);
  if (absl::IsInvalidArgument(metadata.status())) return metadata.status();
  if (!metadata.ok()) {
    return absl::UnavailableError(
        absl::StrCat("server tells no metadata of the model: ",
                     metadata.status().message()));
  }
  InferWire::Options wire = {
      .protocol = client.protocol,
      .json = flags.json,
      .host_header = HostHeader(client),
      .model = flags.model,
      .input = flags.input,
      .deadline_us = flags.send_deadline ? ToMicroseconds(options.deadline) : 0,
      .mode = flags.mode};
  if (!options.batches.empty()) wire.batch_sizes.clear();
  for (const BatchShare& each : options.batches) {
    wire.batch_sizes.push_back(each.samples);
  }
  return InferWire::Create(wire, *metadata, data);
}

absl::StatusOr<int> Run(const Flags& flags) {
  if (!flags.check_record.empty()) {
    PARM_RETURN_IF_ERROR(CheckRunRecordFile(flags.check_record));
    return 0;
  }
  for (const auto& [flag, value] :
       {std::pair("--model", &flags.model), std::pair("--data", &flags.data)}) {
    if (value->empty()) {
      return absl::InvalidArgumentError(absl::StrCat(flag, " is required"));
    }
  }
  PARM_ASSIGN_OR_RETURN(const LoadOptions options, ToLoadOptions(flags));
  PARM_ASSIGN_OR_RETURN(const std::optional<CodeLabel> code,
                        ParseCode(flags.code));
  const std::pair<std::string, std::string> source =
      absl::StrSplit(flags.data, absl::MaxSplits(':', 1));
  if (source.first != "idx") {
    return absl::InvalidArgumentError(
        absl::StrCat("--data wants idx:DIR: got ", flags.data));
  }
  PARM_ASSIGN_OR_RETURN(const TestData data, LoadIdxTestData(source.second));
  std::vector<int> reference;
  if (!flags.reference_logits.empty()) {
    PARM_ASSIGN_OR_RETURN(reference,
                          LoadReferenceClasses(flags.reference_logits));
  }
  // Before the gRPC library starts threads, which have this priority too then.
  const std::string scheduling = AskForPunctualWakes(flags.realtime);
  PARM_ASSIGN_OR_RETURN(InferWire wire, AskServer(flags, options, data));

  RunRecord record{.name = flags.name,
                   .commit = flags.commit,
                   .machine = MachineName(),
                   .seed = flags.seed,
                   .started = UtcNow()};
  PARM_ASSIGN_OR_RETURN(const LoadReport report,
                        RunLoad(options, data, reference, &wire));
  RunEntry run{.policy = flags.policy,
               .code = code,
               .scenario = flags.scenario,
               .repeat = flags.repeat};
  if (flags.load >= 0) run.load = flags.load;
  if (flags.workers >= 0) run.workers = flags.workers;
  report.FillEntry(&run);
  PrintSummary(run, report);
  record.config_json = ConfigJson(flags, scheduling, report);
  record.runs.push_back(run);
  PARM_RETURN_IF_ERROR(WriteFile(flags.out, ToJson(record) + "\n"));
  PARM_RETURN_IF_ERROR(WriteFile(flags.cdf, report.tally.CdfCsv()));
  PARM_RETURN_IF_ERROR(WriteFile(flags.log, QueryLogCsv(report.queries)));
  if (run.refused.has_value()) {
    absl::FPrintF(stderr, "parm-load: refused: %s\n", *run.refused);
    return kRefused;
  }
  return 0;
}

}  // namespace
}  // namespace parm

int main(int argc, char** argv) {
  CLI::App app(
      "Open-loop load with real images: every answer judged, every query "
      "counted, latency from the scheduled send.",
      "parm-load");
  app.set_version_flag("--version", "parm-load " PARM_VERSION);
  parm::Flags flags;
  parm::AddFlags(app, flags);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const absl::StatusOr<int> status = parm::Run(flags);
  if (!status.ok()) {
    std::fprintf(stderr, "parm-load: %s\n",
                 std::string(status.status().message()).c_str());
    return status.status().code() == absl::StatusCode::kInvalidArgument ? 2 : 1;
  }
  return *status;
}
