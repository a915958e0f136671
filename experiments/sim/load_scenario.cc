#include "experiments/sim/load_scenario.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "backends/worker_config.h"
#include "base/status_macros.h"
#include "experiments/scenario.pb.h"
#include "experiments/sim/slowdown_trace.h"
#include "proto/strict_yaml.h"

namespace parm::sim {

namespace {

class Resolver {
 public:
  Resolver(const config::Scenario& from, const YamlLines& lines,
           absl::string_view file)
      : from_(from), lines_(lines), file_(file) {}

  absl::Status Resolve(LoadScenario* out) {
    ResolvePlain(out);
    PARM_RETURN_IF_ERROR(ResolveNetwork(out));
    PARM_RETURN_IF_ERROR(ResolveLoadSteps(out));
    PARM_RETURN_IF_ERROR(ResolveBatchSizes(out));
    PARM_RETURN_IF_ERROR(ResolveFaults(out));
    PARM_RETURN_IF_ERROR(ResolveSlowMode(out));
    PARM_RETURN_IF_ERROR(ResolveShuffles(out));
    PARM_RETURN_IF_ERROR(ResolveTrace(out));
    PARM_RETURN_IF_ERROR(ResolvePause(out));
    return ResolveWorkerEvents(out);
  }

 private:
  int LineOf(const std::string& key) const {
    const auto found = lines_.find(key);
    return found == lines_.end() ? 1 : found->second;
  }
  absl::Status Error(const std::string& key, absl::string_view text) const {
    return absl::InvalidArgumentError(
        absl::StrCat(file_, ":", LineOf(key), ": ", text));
  }

  void ResolvePlain(LoadScenario* out) const {
    out->name = from_.name();
    out->file = file_;
    out->workers_line = LineOf("workers");
    out->policies_line = LineOf("policies");
    out->trace_line = LineOf("trace");
    if (from_.workers() > 0) out->num_workers = from_.workers();
    if (from_.fault_domains() > 0) out->fault_domains = from_.fault_domains();
    out->pace.service = DurationOr(from_.pace().service(), Duration{0});
    out->pace.spread = from_.pace().spread();
    out->pace.per_extra_sample =
        DurationOr(from_.pace().per_extra_sample(), out->pace.service);
    if (from_.load() > 0) out->load = from_.load();
    if (from_.frontends() > 0) out->num_frontends = from_.frontends();
    if (from_.queries() > 0) out->num_queries = from_.queries();
    out->warm_up = DurationOr(from_.warmup(), out->warm_up);
    out->policies.assign(from_.policies().begin(), from_.policies().end());
    if (from_.deployed_accuracy() > 0) {
      out->deployed_accuracy = from_.deployed_accuracy();
    }
    for (const config::RedundancyUnit& unit : from_.units()) {
      RedundancyUnit figures = {.scheme = unit.scheme(),
                                .k = static_cast<int>(unit.k())};
      if (unit.accuracy() > 0) figures.accuracy = unit.accuracy();
      if (unit.cost() > 0) figures.cost = unit.cost();
      out->units.push_back(std::move(figures));
    }
  }

  absl::Status ResolveNetwork(LoadScenario* out) const {
    if (out->pace.service <= Duration{0}) {
      return Error("pace.service", "pace.service must be above 0");
    }
    const config::NetworkDelay& network = from_.network();
    out->network_min = DurationOr(network.min(), out->network_min);
    out->network_max =
        DurationOr(network.max(), std::max(out->network_min, out->network_max));
    if (out->network_min > out->network_max) {
      return Error("network", "network: min is above max");
    }
    return absl::OkStatus();
  }

  absl::Status ResolveLoadSteps(LoadScenario* out) const {
    for (int i = 0; i < from_.load_steps_size(); ++i) {
      LoadStep step = {.at = DurationOr(from_.load_steps(i).at(), Duration{0})};
      if (from_.load_steps(i).load() > 0)
        step.load = from_.load_steps(i).load();
      if (!out->load_steps.empty() && step.at <= out->load_steps.back().at) {
        return Error(absl::StrCat("load_steps[", i, "].at"),
                     "load_steps: each must be later than the one before");
      }
      out->load_steps.push_back(step);
    }
    return absl::OkStatus();
  }

  absl::Status ResolveBatchSizes(LoadScenario* out) const {
    double sum = 0;
    for (const config::BatchSize& size : from_.batch_sizes()) {
      out->batch_sizes.push_back(
          {.samples = size.samples(), .share = size.share()});
      sum += size.share();
    }
    if (!out->batch_sizes.empty() && std::abs(sum - 1) > 1e-6) {
      return Error(
          "batch_sizes",
          absl::StrCat("batch_sizes: shares must add up to 1: got ", sum));
    }
    return absl::OkStatus();
  }

  absl::Status ResolveFaults(LoadScenario* out) const {
    for (int i = 0; i < from_.faults_size(); ++i) {
      const config::FaultEvent& event = from_.faults(i);
      const std::string key = absl::StrCat("faults[", i, "]");
      if (event.drop_probability() > 0 || event.duplicate_probability() > 0 ||
          event.corrupt_probability() > 0 || event.error_probability() > 0) {
        return Error(key,
                     "faults: parm-sim knows slow_jobs, slow_mode and "
                     "reply_delay only");
      }
      absl::StatusOr<FaultWindow> window = MakeFaultWindow(event);
      if (!window.ok()) return Error(key, window.status().message());
      out->faults.push_back(*window);
    }
    return absl::OkStatus();
  }

  absl::Status CheckPeriod(const std::string& key, Duration every,
                           Duration length) const {
    if (every <= Duration{0}) {
      return Error(key + ".every", key + ".every must be above 0");
    }
    if (length > every) {
      return Error(key + ".length",
                   key + ".length must not be above its `every`");
    }
    return absl::OkStatus();
  }

  absl::Status ResolveSlowMode(LoadScenario* out) const {
    if (!from_.has_roving_slow_mode()) return absl::OkStatus();
    const config::RovingSlowMode& mode = from_.roving_slow_mode();
    out->roving_slow_mode = {.factor = mode.factor(),
                             .every = DurationOr(mode.every(), Duration{0}),
                             .length = DurationOr(mode.length(), Duration{0})};
    return CheckPeriod("roving_slow_mode", out->roving_slow_mode->every,
                       out->roving_slow_mode->length);
  }

  absl::Status ResolveShuffles(LoadScenario* out) const {
    if (!from_.has_shuffles()) return absl::OkStatus();
    const config::Shuffles& shuffles = from_.shuffles();
    out->shuffles = {
        .pairs = shuffles.pairs(),
        .length = DurationOr(shuffles.length(), Duration{0}),
        .mean_delay = DurationOr(shuffles.mean_delay(), Duration{0})};
    if (out->shuffles->length <= Duration{0}) {
      return Error("shuffles.length", "shuffles.length must be above 0");
    }
    return absl::OkStatus();
  }

  absl::Status ResolveTrace(LoadScenario* out) const {
    if (!from_.has_trace()) return absl::OkStatus();
    out->trace = TraceReplay{.file = from_.trace().file(),
                             .series = from_.trace().series(),
                             .vm_sku = from_.trace().vm_sku()};
    out->trace->dwell = DurationOr(from_.trace().dwell(), out->trace->dwell);
    if (out->trace->dwell <= Duration{0}) {
      return Error("trace.dwell", "trace.dwell must be above 0");
    }
    return absl::OkStatus();
  }

  absl::Status ResolvePause(LoadScenario* out) const {
    if (!from_.has_domain_pause()) return absl::OkStatus();
    out->domain_pause = {
        .every = DurationOr(from_.domain_pause().every(), Duration{0}),
        .length = DurationOr(from_.domain_pause().length(), Duration{0})};
    return CheckPeriod("domain_pause", out->domain_pause->every,
                       out->domain_pause->length);
  }

  absl::Status ResolveWorkerEvents(LoadScenario* out) const {
    for (int i = 0; i < from_.worker_events_size(); ++i) {
      const config::WorkerEvent& event = from_.worker_events(i);
      const WorkerEvent resolved = {
          .kind = event.what() == "kill"     ? WorkerEvent::Kind::kKill
                  : event.what() == "silent" ? WorkerEvent::Kind::kSilent
                                             : WorkerEvent::Kind::kFailing,
          .worker = event.worker(),
          .at = DurationOr(event.at(), Duration{0}),
          .length = DurationOr(event.length(), Duration{0})};
      if (resolved.length <= Duration{0}) {
        return Error(absl::StrCat("worker_events[", i, "].length"),
                     "worker_events: length must be above 0");
      }
      out->worker_events.push_back(resolved);
    }
    return absl::OkStatus();
  }

  const config::Scenario& from_;
  const YamlLines& lines_;
  const std::string file_;
};

}  // namespace

absl::StatusOr<LoadScenario> ParseLoadScenario(absl::string_view yaml,
                                               absl::string_view file) {
  config::Scenario message;
  YamlLines lines;
  PARM_RETURN_IF_ERROR(ParseStrictYaml(yaml, file, &message, &lines));
  LoadScenario scenario;
  PARM_RETURN_IF_ERROR(Resolver(message, lines, file).Resolve(&scenario));
  return scenario;
}

absl::StatusOr<LoadScenario> ReadLoadScenario(const std::string& path) {
  // A directory opens, and then throws when it is read.
  std::error_code ignored;
  std::ifstream file(path, std::ios::binary);
  if (!file || std::filesystem::is_directory(path, ignored)) {
    return absl::NotFoundError(absl::StrCat("cannot read ", path));
  }
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  return ParseLoadScenario(text, path);
}

LoadScenario WithoutFaults(LoadScenario scenario) {
  scenario.faults.clear();
  scenario.roving_slow_mode.reset();
  scenario.shuffles.reset();
  scenario.trace.reset();
  scenario.domain_pause.reset();
  scenario.worker_events.clear();
  return scenario;
}

Duration CleanService(const LoadScenario& scenario, uint32_t samples) {
  return scenario.pace.service + (samples - 1) * scenario.pace.per_extra_sample;
}

Duration MeanCleanService(const LoadScenario& scenario) {
  if (scenario.batch_sizes.empty()) return scenario.pace.service;
  double seconds = 0;
  for (const BatchSize& size : scenario.batch_sizes) {
    seconds += size.share * ToSeconds(CleanService(scenario, size.samples));
  }
  return FromSeconds(seconds);
}

double RateAtFullLoad(const LoadScenario& scenario) {
  return scenario.num_workers / ToSeconds(MeanCleanService(scenario));
}

uint64_t QueriesWithin(const LoadScenario& scenario, Duration from,
                       Duration to) {
  double queries = 0;
  double load = scenario.load;
  Duration begin = from;
  const auto until = [&](Duration end) {
    queries +=
        std::max(0.0, ToSeconds(end - begin)) * load * RateAtFullLoad(scenario);
    begin = std::max(begin, end);
  };
  for (const LoadStep& step : scenario.load_steps) {
    until(std::min(step.at, to));
    load = step.load.value_or(scenario.load);
  }
  until(to);
  return std::max<uint64_t>(1, static_cast<uint64_t>(queries));
}

absl::Status CheckWorkers(const LoadScenario& scenario) {
  if (scenario.shuffles &&
      2 * scenario.shuffles->pairs > scenario.num_workers) {
    return absl::InvalidArgumentError(absl::StrCat(
        scenario.file, ":", scenario.workers_line, ": workers: got ",
        scenario.num_workers, ", want at least ", 2 * scenario.shuffles->pairs,
        " for ", scenario.shuffles->pairs, " shuffles"));
  }
  for (const WorkerEvent& event : scenario.worker_events) {
    if (event.worker < scenario.num_workers) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(scenario.file, ":", scenario.workers_line,
                     ": worker_events: no such worker: got ", event.worker,
                     " of ", scenario.num_workers));
  }
  return absl::OkStatus();
}

absl::Status LoadTrace(const std::string& file, LoadScenario* scenario) {
  const auto error = [scenario](absl::string_view text) {
    return absl::InvalidArgumentError(absl::StrCat(
        scenario->file, ":", scenario->trace_line, ": trace: ", text));
  };
  if (!scenario->trace) {
    if (file.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(
        "--trace is given, but ", scenario->file, " replays no trace"));
  }
  TraceReplay& trace = *scenario->trace;
  if (!file.empty()) {
    trace.file = file;
  } else if (trace.file.empty()) {
    return error("names no file, and --trace is not given");
  } else {
    // operator/ keeps an absolute right side as it is.
    trace.file =
        (std::filesystem::path(scenario->file).parent_path() / trace.file)
            .string();
  }
  absl::StatusOr<std::vector<double>> slowdowns = ReadSlowdowns(
      trace.file, {.series = trace.series, .vm_sku = trace.vm_sku});
  if (slowdowns.status().code() == absl::StatusCode::kNotFound) {
    return error(slowdowns.status().message());
  }
  PARM_RETURN_IF_ERROR(slowdowns.status());
  trace.slowdowns = *std::move(slowdowns);
  return absl::OkStatus();
}

}  // namespace parm::sim
