#include "backends/worker_config.h"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "proto/curve_keys.h"
#include "proto/strict_yaml.h"

namespace parm {
namespace {

constexpr uint64_t kMaxMessageBytes = UINT32_MAX;

PaceOptions MakePace(const config::Pace& message) {
  PaceOptions pace;
  pace.service = DurationOr(message.service(), Duration(0));
  pace.spread = message.spread();
  pace.per_extra_sample = DurationOr(message.per_extra_sample(), pace.service);
  return pace;
}

// The steady clock's time at a time of the system clock, as both stand now.
Time SteadyTimeAt(uint64_t unix_ms) {
  const auto unix_now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::steady_clock::now() +
         (Milliseconds(static_cast<int64_t>(unix_ms)) -
          std::chrono::duration_cast<Duration>(unix_now));
}

// What the file says beside the values that were read from it.
class Source {
 public:
  Source(std::string path, YamlLines lines)
      : path_(std::move(path)), lines_(std::move(lines)) {}

  // Relative bundle paths count from here.
  std::filesystem::path folder() const {
    return std::filesystem::path(path_).parent_path();
  }

  // kInvalidArgument "FILE:LINE: text".
  absl::Status Error(const std::string& key, absl::string_view text) const {
    const auto line = lines_.find(key);
    return absl::InvalidArgumentError(absl::StrCat(
        path_, ":", line == lines_.end() ? 1 : line->second, ": ", text));
  }

 private:
  const std::string path_;
  const YamlLines lines_;
};

absl::Status UseCurve(const config::WorkerCurve& curve, const Source& source,
                      WorkerLoop::Options* loop) {
  absl::StatusOr<CurveKeys> keys =
      LoadCurveKeys((source.folder() / curve.secret_key()).string());
  if (!keys.ok()) {
    return source.Error("curve.secret_key", keys.status().message());
  }
  loop->keys = *std::move(keys);
  for (int i = 0; i < curve.frontends_size(); ++i) {
    absl::StatusOr<std::string> key =
        LoadCurveKey((source.folder() / curve.frontends(i)).string());
    if (!key.ok()) {
      return source.Error(absl::StrCat("curve.frontends[", i, "]"),
                          key.status().message());
    }
    loop->client_keys.push_back(*std::move(key));
  }
  return absl::OkStatus();
}

absl::StatusOr<WorkerConfig> MakeWorkerConfig(
    const config::WorkerConfig& message, const Source& source) {
  WorkerConfig config;
  config.loop.id = message.id();
  config.loop.fault_domain =
      message.fault_domain().empty() ? message.id() : message.fault_domain();
  config.loop.bind = message.bind();
  if (!absl::StartsWith(config.loop.bind, "tcp://") &&
      !absl::StartsWith(config.loop.bind, "ipc://")) {
    return source.Error(
        "bind", absl::StrCat("bind is no address that a worker takes: "
                             "got ",
                             config.loop.bind, ", want tcp://ADDRESS:PORT"));
  }
  if (message.has_curve()) {
    PARM_RETURN_IF_ERROR(UseCurve(message.curve(), source, &config.loop));
  }
  if (message.lanes() > 0) {
    config.loop.lanes = static_cast<int>(message.lanes());
  }
  if (message.max_queue() > 0) config.loop.max_queue = message.max_queue();
  if (message.max_message_bytes() > kMaxMessageBytes) {
    return source.Error("max_message_bytes",
                        absl::StrCat("max_message_bytes is too large: got ",
                                     message.max_message_bytes(),
                                     ", want at most ", kMaxMessageBytes));
  }
  if (message.max_message_bytes() > 0) {
    config.loop.max_message_bytes = message.max_message_bytes();
  }
  if (message.max_queued_bytes() > 0) {
    config.loop.max_queued_bytes = message.max_queued_bytes();
  }
  config.loop.heartbeat_interval =
      DurationOr(message.heartbeat_interval(), config.loop.heartbeat_interval);
  if (config.loop.heartbeat_interval < Milliseconds(1)) {
    return source.Error("heartbeat_interval",
                        "heartbeat_interval is too short: want 1ms or more");
  }
  config.loop.fault_seed = message.faults().seed();
  if (message.faults().epoch_unix_ms() > 0) {
    config.loop.fault_epoch = SteadyTimeAt(message.faults().epoch_unix_ms());
  }
  for (int i = 0; i < message.faults().events_size(); ++i) {
    const absl::StatusOr<FaultWindow> window =
        MakeFaultWindow(message.faults().events(i));
    if (!window.ok()) {
      return source.Error(absl::StrCat("faults.events[", i, "]"),
                          window.status().message());
    }
    config.loop.fault_windows.push_back(*window);
  }
  config.device = message.device() == "cuda" ? Device::kCuda : Device::kCpu;
  if (message.intra_op_threads() > 0) {
    config.intra_op_threads = static_cast<int>(message.intra_op_threads());
  }
  for (const config::WorkerBundle& bundle : message.bundles()) {
    // operator/ keeps an absolute right side as it is.
    WorkerConfig::BundleEntry entry = {
        .path = (source.folder() / bundle.path()).string()};
    if (bundle.has_pace()) entry.pace = MakePace(bundle.pace());
    config.bundles.push_back(std::move(entry));
  }
  return config;
}

absl::Status WithPath(const absl::Status& status, const std::string& path) {
  return absl::Status(status.code(),
                      absl::StrCat("bundle ", path, ": ", status.message()));
}

}  // namespace

absl::StatusOr<FaultWindow> MakeFaultWindow(const config::FaultEvent& event) {
  FaultWindow window;
  window.start = DurationOr(event.start(), Duration(0));
  window.length = DurationOr(event.length(), Duration::max());
  if (event.has_slow_jobs()) {
    window.slow_job_probability = event.slow_jobs().probability();
    window.slow_job_factor = event.slow_jobs().factor();
    if (window.slow_job_factor < 1) {
      return absl::InvalidArgumentError(
          "slow_jobs needs a factor of 1 or more");
    }
  }
  if (event.has_slow_mode()) {
    window.slow_mode_factor = event.slow_mode().factor();
    if (window.slow_mode_factor < 1) {
      return absl::InvalidArgumentError(
          "slow_mode needs a factor of 1 or more");
    }
  }
  if (event.has_reply_delay()) {
    if (event.reply_delay().delay().empty()) {
      return absl::InvalidArgumentError("reply_delay needs a delay");
    }
    window.reply_delay_probability = event.reply_delay().probability();
    window.reply_delay = DurationOr(event.reply_delay().delay(), Duration(0));
  }
  window.drop_probability = event.drop_probability();
  window.duplicate_probability = event.duplicate_probability();
  window.corrupt_probability = event.corrupt_probability();
  window.error_probability = event.error_probability();
  return window;
}

absl::StatusOr<WorkerConfig> LoadWorkerConfig(const std::string& path) {
  config::WorkerConfig message;
  YamlLines lines;
  PARM_RETURN_IF_ERROR(LoadStrictYaml(path, &message, &lines));
  return MakeWorkerConfig(message, Source(path, std::move(lines)));
}

absl::StatusOr<std::vector<std::unique_ptr<const ServedBundle>>> LoadBundles(
    const WorkerConfig& config, const ModelLoader& load_model) {
  std::vector<std::unique_ptr<const ServedBundle>> served;
  for (const WorkerConfig::BundleEntry& entry : config.bundles) {
    absl::StatusOr<Bundle> bundle = LoadBundle(entry.path);
    if (!bundle.ok()) return WithPath(bundle.status(), entry.path);
    auto loaded =
        ServedBundle::Create(*std::move(bundle), load_model,
                             {.pace = entry.pace,
                              .device = config.device,
                              .intra_op_threads = config.intra_op_threads});
    if (!loaded.ok()) return WithPath(loaded.status(), entry.path);
    served.push_back(*std::move(loaded));
  }
  return served;
}

}  // namespace parm
