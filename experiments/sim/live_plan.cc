#include "experiments/sim/live_plan.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "base/json_writer.h"
#include "base/status_macros.h"
#include "experiments/sim/draws.h"
#include "experiments/sim/joint_faults.h"
#include "experiments/sim/scenario.h"

namespace parm::sim {

namespace {

// Faults go on a little after the last query.
constexpr Duration kAfterwards = Milliseconds(5000);

class LivePlan {
 public:
  LivePlan(const LoadScenario& scenario, uint64_t seed, Duration measured)
      : scenario_(scenario),
        seed_(seed),
        draws_(seed),
        until_(scenario.warm_up + measured + kAfterwards) {}

  absl::StatusOr<std::string> Json(const std::vector<Candidate>& candidates);

 private:
  void WritePace();
  void WriteWorker(uint32_t worker);
  void WriteWindow(const FaultWindow& window);
  void WriteSlowMode(Duration start, Duration length, double factor);
  void WriteShuffles(uint32_t worker);
  void WriteExponentialDelay(Duration start, Duration length, Duration mean);
  void WritePauses();
  void WriteWorkerEvents(uint32_t worker);
  void WriteWorkerEventList();
  void WriteRateSteps();
  void WriteBatchSizes();
  double RateOf(double load) const { return load * RateAtFullLoad(scenario_); }
  absl::Status WriteCandidate(const Candidate& candidate);
  void Span(absl::string_view key, Duration value) {
    json_.Key(key).String(
        absl::StrCat(std::llround(ToSeconds(value) * 1e6), "us"));
  }

  const LoadScenario& scenario_;
  const uint64_t seed_;
  const Draws draws_;
  const Duration until_;
  std::string text_;
  JsonWriter json_{&text_};
};

void LivePlan::WritePace() {
  json_.Key("pace").BeginObject();
  json_.Key("service_us").Double(ToSeconds(scenario_.pace.service) * 1e6);
  json_.Key("per_extra_sample_us")
      .Double(ToSeconds(scenario_.pace.per_extra_sample) * 1e6);
  json_.Key("spread").Double(scenario_.pace.spread);
  json_.EndObject();
}

void LivePlan::WriteWindow(const FaultWindow& window) {
  json_.BeginObject();
  Span("start", window.start);
  if (window.length < until_) Span("length", window.length);
  if (window.slow_job_probability > 0) {
    json_.Key("slow_jobs").BeginObject();
    json_.Key("probability").Double(window.slow_job_probability);
    json_.Key("factor").Double(window.slow_job_factor).EndObject();
  }
  if (window.slow_mode_factor > 1) {
    json_.Key("slow_mode").BeginObject();
    json_.Key("factor").Double(window.slow_mode_factor).EndObject();
  }
  if (window.reply_delay_probability > 0) {
    json_.Key("reply_delay").BeginObject();
    json_.Key("probability").Double(window.reply_delay_probability);
    Span("delay", window.reply_delay);
    json_.EndObject();
  }
  if (window.error_probability > 0) {
    json_.Key("error_probability").Double(window.error_probability);
  }
  json_.EndObject();
}

void LivePlan::WriteSlowMode(Duration start, Duration length, double factor) {
  WriteWindow({.start = start, .length = length, .slow_mode_factor = factor});
}

void LivePlan::WriteWorker(uint32_t worker) {
  json_.BeginObject();
  json_.Key("id").String(absl::StrCat("worker", worker));
  json_.Key("fault_domain")
      .String(absl::StrCat("domain", worker % scenario_.fault_domains));
  json_.Key("events").BeginArray();
  for (const FaultWindow& window : scenario_.faults) WriteWindow(window);
  if (const auto& mode = scenario_.roving_slow_mode) {
    for (uint64_t period = 0;; ++period) {
      const Duration start = static_cast<int64_t>(period) * mode->every;
      if (start >= until_) break;
      if (SlowWorker(scenario_, draws_, period) == worker) {
        WriteSlowMode(start, mode->length, mode->factor);
      }
    }
  }
  if (const auto& trace = scenario_.trace) {
    for (uint64_t period = 0;; ++period) {
      const Duration start = static_cast<int64_t>(period) * trace->dwell;
      if (start >= until_) break;
      // A live worker cannot be made faster than its pace.
      const double factor =
          std::max(1.0, RecordedSlowdown(scenario_, draws_, period, worker));
      if (factor > 1) WriteSlowMode(start, trace->dwell, factor);
    }
  }
  if (scenario_.shuffles) WriteShuffles(worker);
  WriteWorkerEvents(worker);
  json_.EndArray().EndObject();
}

// Pairs change one after the other, so many times in each length.
void LivePlan::WriteShuffles(uint32_t worker) {
  const Shuffles& shuffles = *scenario_.shuffles;
  const Duration slot = shuffles.length / shuffles.pairs;
  const auto shuffling = [&](int64_t index) {
    return IsShuffling(scenario_, draws_, index * slot + slot / 2, worker);
  };
  for (int64_t begin = 0; begin * slot < until_; ++begin) {
    if (!shuffling(begin)) continue;
    int64_t end = begin + 1;
    while (end * slot < until_ && shuffling(end)) ++end;
    WriteExponentialDelay(begin * slot, (end - begin) * slot,
                          shuffles.mean_delay);
    begin = end;
  }
}

// A worker knows delays of fixed length, which add up. The binary digits of an
// exponential draw are independent, so ten of them make one: from 1/64 of the
// mean to eight means.
void LivePlan::WriteExponentialDelay(Duration start, Duration length,
                                     Duration mean) {
  for (double means = 1.0 / 64; means <= 8; means *= 2) {
    WriteWindow({.start = start,
                 .length = length,
                 .reply_delay_probability = 1 / (1 + std::exp(means)),
                 .reply_delay = FromSeconds(ToSeconds(mean) * means)});
  }
}

void LivePlan::WriteWorkerEvents(uint32_t worker) {
  for (const WorkerEvent& event : scenario_.worker_events) {
    if (event.worker != worker) continue;
    if (event.kind == WorkerEvent::Kind::kSilent) {
      WriteSlowMode(event.at, event.length, kSilentFactor);
    } else if (event.kind == WorkerEvent::Kind::kFailing) {
      WriteWindow(
          {.start = event.at, .length = event.length, .error_probability = 1});
    }
  }
}

// Kills are carried out by the runner; the others are faults of the worker too.
void LivePlan::WriteWorkerEventList() {
  json_.Key("worker_events").BeginArray();
  for (const WorkerEvent& event : scenario_.worker_events) {
    json_.BeginObject().Key("what").String(
        event.kind == WorkerEvent::Kind::kKill     ? "kill"
        : event.kind == WorkerEvent::Kind::kSilent ? "silent"
                                                   : "failing");
    json_.Key("worker").Uint(event.worker);
    json_.Key("at_s").Double(ToSeconds(event.at));
    json_.Key("length_s").Double(ToSeconds(event.length)).EndObject();
  }
  json_.EndArray();
}

void LivePlan::WriteBatchSizes() {
  json_.Key("batch_sizes").BeginArray();
  for (const BatchSize& size : scenario_.batch_sizes) {
    json_.BeginObject().Key("samples").Uint(size.samples);
    json_.Key("share").Double(size.share).EndObject();
  }
  json_.EndArray();
}

void LivePlan::WriteRateSteps() {
  json_.Key("rate_steps").BeginArray();
  for (const LoadStep& step : scenario_.load_steps) {
    json_.BeginObject().Key("at_s").Double(ToSeconds(step.at));
    json_.Key("rate_qps")
        .Double(RateOf(step.load.value_or(scenario_.load)))
        .EndObject();
  }
  json_.EndArray();
}

void LivePlan::WritePauses() {
  json_.Key("pauses").BeginArray();
  const auto& pause = scenario_.domain_pause;
  for (uint64_t period = 1; pause; ++period) {
    const Duration start = static_cast<int64_t>(period) * pause->every;
    if (start >= until_ - kAfterwards) break;
    json_.BeginObject().Key("at_s").Double(ToSeconds(start));
    json_.Key("length_s").Double(ToSeconds(pause->length));
    json_.Key("workers").BeginArray();
    for (uint32_t i = PausedDomain(scenario_, draws_, period);
         i < scenario_.num_workers; i += scenario_.fault_domains) {
      json_.Uint(i);
    }
    json_.EndArray().EndObject();
  }
  json_.EndArray();
}

absl::Status LivePlan::WriteCandidate(const Candidate& candidate) {
  PARM_ASSIGN_OR_RETURN(const Scenario world,
                        MakeWorld(scenario_, candidate, seed_));
  json_.BeginObject();
  json_.Key("policy").String(candidate.policy);
  json_.Key("file").String(candidate.file);
  json_.Key("deadline_ms").Double(ToSeconds(candidate.model().deadline) * 1e3);
  json_.Key("parity_cost").Double(UnitOf(scenario_, candidate).cost);
  // What answers a parity query: a parity model, or a cheaper one, as it is.
  json_.Key("parity_model")
      .String(candidate.model().policy == core::PolicyKind::kBackup ? "backup"
                                                                    : "parity");
  json_.Key("code");
  if (const auto label = LabelOf(candidate)) {
    json_.BeginObject().Key("scheme").String(label->scheme);
    json_.Key("k").Int(label->k).Key("r").Int(label->r).EndObject();
  } else {
    json_.Null();
  }
  json_.Key("roles").BeginArray();
  for (const SimWorkerSpec& worker : world.workers) {
    const auto serves = [&](core::BundleRole role) {
      return std::any_of(
          worker.bundles.begin(), worker.bundles.end(),
          [&](const core::ServedBundle& each) { return each.role == role; });
    };
    const bool redundant =
        serves(core::BundleRole::kParity) || serves(core::BundleRole::kBackup);
    json_.String(!redundant                             ? "deployed"
                 : !serves(core::BundleRole::kDeployed) ? "parity"
                                                        : "both");
  }
  json_.EndArray().EndObject();
  return absl::OkStatus();
}

absl::StatusOr<std::string> LivePlan::Json(
    const std::vector<Candidate>& candidates) {
  json_.BeginObject();
  json_.Key("scenario").String(scenario_.name);
  json_.Key("seed").Uint(seed_);
  json_.Key("load").Double(scenario_.load);
  json_.Key("rate_qps").Double(RateOf(scenario_.load));
  json_.Key("frontends").Uint(scenario_.num_frontends);
  WriteRateSteps();
  WriteBatchSizes();
  json_.Key("warmup_s").Double(ToSeconds(scenario_.warm_up));
  WritePace();
  json_.Key("workers").BeginArray();
  for (uint32_t i = 0; i < scenario_.num_workers; ++i) WriteWorker(i);
  json_.EndArray();
  WritePauses();
  WriteWorkerEventList();
  json_.Key("candidates").BeginArray();
  for (const Candidate& candidate : candidates) {
    PARM_RETURN_IF_ERROR(WriteCandidate(candidate));
  }
  json_.EndArray().EndObject();
  return text_;
}

}  // namespace

absl::StatusOr<std::string> LivePlanJson(
    const LoadScenario& scenario, const std::vector<Candidate>& candidates,
    uint64_t seed, Duration measured) {
  return LivePlan(scenario, seed, measured).Json(candidates);
}

}  // namespace parm::sim
