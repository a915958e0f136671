#include "frontend/frontend_config.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <utility>
#include <variant>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "encoder/code.h"
#include "frontend/capture_directory.h"
#include "frontend/core/core_state.h"
#include "proto/config.pb.h"
#include "proto/strict_yaml.h"
#include "proto/yaml_tree.h"

namespace parm {
namespace {

// A key of a map or a position in a list.
using Step = std::variant<absl::string_view, size_t>;

// The configuration's text beside its values, to say where a value stands.
class Source {
 public:
  Source(YamlNode root, absl::string_view file)
      : root_(std::move(root)), file_(file) {}

  // A path that is relative to the file's folder.
  std::string Path(const std::string& path) const {
    return (std::filesystem::path(file_).parent_path() / path).string();
  }

  // kInvalidArgument "FILE:LINE: text", at the deepest step that is there.
  absl::Status Error(const std::vector<Step>& path,
                     absl::string_view text) const {
    const YamlNode* node = &root_;
    int line = root_.line;
    for (const Step& step : path) {
      const YamlNode* next = nullptr;
      if (const auto* key = std::get_if<absl::string_view>(&step)) {
        for (size_t i = 0; i + 1 < node->children.size(); i += 2) {
          if (node->children[i].text != *key) continue;
          line = node->children[i].line;
          next = &node->children[i + 1];
        }
      } else if (std::get<size_t>(step) < node->children.size()) {
        next = &node->children[std::get<size_t>(step)];
        line = next->line;
      }
      if (next == nullptr) break;
      node = next;
    }
    return absl::InvalidArgumentError(
        absl::StrCat(file_, ":", line, ": ", text));
  }

 private:
  const YamlNode root_;
  const std::string file_;
};

// Of a worker: "tcp://HOST:PORT" or "ipc://PATH".
bool IsEndpoint(absl::string_view endpoint) {
  if (absl::StartsWith(endpoint, "ipc://")) return endpoint.size() > 6;
  if (!absl::StartsWith(endpoint, "tcp://")) return false;
  const size_t colon = endpoint.rfind(':');
  int port = 0;
  return colon > 6 && colon != absl::string_view::npos &&
         absl::SimpleAtoi(endpoint.substr(colon + 1), &port) && port >= 1 &&
         port <= 65'535;
}

template <typename Value>
Value ValueOr(Value value, Value fallback) {
  return value == Value{} ? fallback : value;
}

ServerKind KindNamed(absl::string_view name) {
  if (name == "triton") return ServerKind::kTriton;
  if (name == "mlserver") return ServerKind::kMlserver;
  if (name == "kserve") return ServerKind::kKserve;
  return ServerKind::kAuto;
}

absl::StatusOr<OipServerOptions> ResolveServer(
    const config::FrontendConfig& config, size_t index, const Source& source) {
  const config::WorkerEndpoint& worker =
      config.workers(static_cast<int>(index));
  const std::vector<Step> path = {"workers", index};
  const auto error = [&](std::vector<Step> keys, absl::string_view text) {
    keys.insert(keys.begin(), path.begin(), path.end());
    return source.Error(keys, text);
  };
  OipServerOptions out{.endpoint = worker.endpoint(),
                       .kind = KindNamed(worker.server()),
                       .max_in_flight = ValueOr(worker.max_in_flight(), 16U),
                       .lanes = ValueOr(worker.lanes(), 1U)};
  absl::StatusOr<ServerUrl> url = ParseServerUrl(worker.endpoint());
  if (!url.ok()) {
    return error({"endpoint"},
                 absl::StrCat("endpoint: ", url.status().message()));
  }
  out.url = *std::move(url);
  for (int i = 0; i < worker.serves_size(); ++i) {
    const config::ServedModel& model = worker.serves(i);
    const bool known = std::any_of(
        config.models().begin(), config.models().end(),
        [&](const config::Model& m) { return m.name() == model.name(); });
    if (!known) {
      return error({"serves", static_cast<size_t>(i), "name"},
                   absl::StrCat("serves a model that is not in this file: ",
                                model.name()));
    }
    out.serves.push_back(
        {.name = model.name(),
         .server_name = ValueOr(model.model(), model.name()),
         .version = model.version(),
         .bundle = model.bundle().empty() ? "" : source.Path(model.bundle())});
  }
  if (out.serves.empty()) {
    for (const config::Model& model : config.models()) {
      out.serves.push_back({.name = model.name(), .server_name = model.name()});
    }
  }
  return out;
}

absl::Status ResolveWorkers(const config::FrontendConfig& config,
                            const Source& source, FrontendOptions* out) {
  std::set<std::string> endpoints;
  CatalogOptions of_servers;
  for (int i = 0; i < config.workers_size(); ++i) {
    const config::WorkerEndpoint& worker = config.workers(i);
    const auto index = static_cast<size_t>(i);
    const std::vector<Step> path = {"workers", index, "endpoint"};
    const bool is_server = absl::StartsWith(worker.endpoint(), "http://");
    if (!is_server && !IsEndpoint(worker.endpoint())) {
      return source.Error(path,
                          absl::StrCat("endpoint: got \"", worker.endpoint(),
                                       "\", want tcp://HOST:PORT, "
                                       "ipc://PATH or http://HOST[:PORT]"));
    }
    if (!endpoints.insert(worker.endpoint()).second) {
      return source.Error(
          path, absl::StrCat("endpoint given twice: ", worker.endpoint()));
    }
    const uint32_t max_in_flight = ValueOr(worker.max_in_flight(), 16U);
    CatalogOptions& catalog = is_server ? of_servers : out->catalog;
    catalog.fault_domains.push_back(worker.fault_domain());
    catalog.max_in_flight.push_back(max_in_flight);
    if (is_server) {
      PARM_ASSIGN_OR_RETURN(OipServerOptions server,
                            ResolveServer(config, index, source));
      out->oip.servers.push_back(std::move(server));
      continue;
    }
    for (const auto& [key, given] : {std::pair<absl::string_view, bool>{
                                         "server", !worker.server().empty()},
                                     {"serves", !worker.serves().empty()},
                                     {"lanes", worker.lanes() != 0}}) {
      if (!given) continue;
      return source.Error({"workers", index, key},
                          absl::StrCat(key,
                                       " is for http:// endpoints: a "
                                       "parm-worker says so itself"));
    }
    out->upstream.workers.push_back(
        {.endpoint = worker.endpoint(), .max_in_flight = max_in_flight});
  }
  out->oip.first_worker = static_cast<uint32_t>(out->upstream.workers.size());
  CatalogOptions& catalog = out->catalog;
  catalog.fault_domains.insert(catalog.fault_domains.end(),
                               of_servers.fault_domains.begin(),
                               of_servers.fault_domains.end());
  catalog.max_in_flight.insert(catalog.max_in_flight.end(),
                               of_servers.max_in_flight.begin(),
                               of_servers.max_in_flight.end());
  out->core.num_workers = static_cast<uint32_t>(config.workers_size());
  return absl::OkStatus();
}

absl::Status ResolveDecode(const config::Decode& decode,
                           const std::vector<Step>& model_path,
                           const Source& source, core::ModelOptions* model) {
  const auto error = [&](absl::string_view key, absl::string_view text) {
    std::vector<Step> path = model_path;
    path.insert(path.end(), {"redundancy", "decode", key});
    return source.Error(path, text);
  };
  core::DecodeOptions& out = model->decode;
  if (decode.trigger().has_quantile()) {
    out.trigger_quantile = decode.trigger().quantile();
  }
  out.trigger_min = DurationOr(decode.trigger().min(), Duration{0});
  if (!decode.trigger().max().empty()) {
    out.trigger_max = DurationOr(decode.trigger().max(), Duration{0});
    if (out.trigger_min > *out.trigger_max) {
      return error("trigger", "trigger: min is above max");
    }
  }
  out.slack = DurationOr(decode.slack(), out.slack);
  if (out.slack >= model->deadline) {
    return error("slack", "slack must be below the model's deadline");
  }
  if (decode.has_min_confidence()) {
    out.min_confidence = static_cast<float>(decode.min_confidence());
  }
  if (decode.has_floor()) out.floor = static_cast<float>(decode.floor());
  if (out.min_confidence && out.floor && *out.floor > *out.min_confidence) {
    return error("floor", "floor is above min_confidence");
  }
  if (decode.has_min_agreement()) out.min_agreement = decode.min_agreement();
  out.max_noise_gain = ValueOr(decode.max_noise_gain(), out.max_noise_gain);
  return absl::OkStatus();
}

absl::Status ResolveHedge(const config::Hedge& hedge,
                          const std::vector<Step>& model_path,
                          const Source& source, core::ModelOptions* model) {
  const auto error = [&](std::vector<Step> keys, absl::string_view text) {
    std::vector<Step> path = model_path;
    path.insert(path.end(), {"redundancy", "hedge"});
    path.insert(path.end(), keys.begin(), keys.end());
    return source.Error(path, text);
  };
  core::HedgeOptions& out = model->hedge;
  const config::HedgeDelay& delay = hedge.delay();
  if (delay.has_quantile()) out.quantile = delay.quantile();
  out.max = DurationOr(delay.max(), model->deadline / 2);
  if (*out.max > model->deadline) {
    return error({"delay", "max"}, "max must not be above the deadline");
  }
  out.min = DurationOr(delay.min(), std::min(out.min, *out.max));
  if (out.min <= Duration{0}) {
    return error({"delay", "min"}, "min must be above 0");
  }
  if (out.min > *out.max) {
    return error({"delay"}, "delay: min is above max");
  }
  if (hedge.has_max_extra_load()) {
    out.budget.max_extra_load = hedge.max_extra_load();
  }
  if (hedge.has_min_per_second()) {
    out.budget.min_per_second = hedge.min_per_second();
  }
  if (out.budget.max_extra_load == 0 && out.budget.min_per_second == 0) {
    return error({"max_extra_load"},
                 "max_extra_load and min_per_second are both 0: nothing would "
                 "ever be hedged; policy none says so");
  }
  out.budget.burst = ValueOr(hedge.burst(), out.budget.burst);
  if (hedge.max_concurrent() > 0) {
    out.budget.max_concurrent = hedge.max_concurrent();
  }
  if (hedge.has_max_late_share()) out.max_late_share = hedge.max_late_share();
  return absl::OkStatus();
}

absl::Status ResolveHybrid(const config::Hybrid& hybrid,
                           const std::vector<Step>& model_path,
                           const Source& source, core::ModelOptions* model) {
  core::HybridOptions& out = model->hybrid;
  if (hybrid.has_max_extra_load()) out.max_extra_load = hybrid.max_extra_load();
  if (hybrid.gate().has_open()) out.gate.open = hybrid.gate().open();
  if (hybrid.gate().has_shut()) out.gate.shut = hybrid.gate().shut();
  out.gate.window = DurationOr(hybrid.gate().window(), out.gate.window);
  out.parity_cost = hybrid.parity_cost();
  absl::string_view text;
  if (!(out.gate.open < out.gate.shut)) text = "gate: open is not below shut";
  if (out.gate.window <= Duration{0}) text = "gate: window must be above 0";
  if (text.empty()) return absl::OkStatus();
  std::vector<Step> path = model_path;
  path.insert(path.end(), {"redundancy", "hybrid", "gate"});
  return source.Error(path, text);
}

core::PolicyKind PolicyNamed(absl::string_view name) {
  if (name == "coded") return core::PolicyKind::kCoded;
  if (name == "backup") return core::PolicyKind::kBackup;
  if (name == "hedge") return core::PolicyKind::kHedge;
  if (name == "hybrid") return core::PolicyKind::kHybrid;
  if (name == "replicate") return core::PolicyKind::kReplicate;
  return core::PolicyKind::kNone;
}

absl::Status ResolveRedundancy(const config::Redundancy& redundancy,
                               const std::vector<Step>& model_path,
                               const Source& source,
                               core::ModelOptions* model) {
  const auto error = [&](std::vector<Step> keys, absl::string_view text) {
    std::vector<Step> path = model_path;
    path.push_back("redundancy");
    path.insert(path.end(), keys.begin(), keys.end());
    return source.Error(path, text);
  };
  model->policy = PolicyNamed(redundancy.policy());
  model->mode = redundancy.mode() == "observe" ? core::PolicyMode::kObserve
                                               : core::PolicyMode::kAct;
  const bool backup = model->policy == core::PolicyKind::kBackup;
  if (redundancy.has_code() || backup) {
    // Checked under every policy: a mistake should not wait for the switch.
    CodeSpec spec{.scheme = "pack", .k = 1};  // a copy of every query
    if (redundancy.has_code()) {
      spec = {.scheme = redundancy.code().scheme(),
              .k = static_cast<int>(redundancy.code().k()),
              .r = static_cast<int>(ValueOr(redundancy.code().r(), 1U))};
    }
    absl::StatusOr<std::unique_ptr<const Code>> code = CreateCode(spec);
    if (!code.ok()) return error({"code"}, code.status().message());
    if (backup && spec.scheme != "pack") {
      return error({"code", "scheme"},
                   "policy backup sends queries side by side: its code is "
                   "{scheme: pack, k: K}");
    }
    if (core::UsesCode(model->policy)) model->code = *std::move(code);
  } else if (core::UsesCode(model->policy)) {
    return error({"policy"},
                 absl::StrCat("policy ", redundancy.policy(),
                              " needs a code: {scheme: NAME, k: K, r: R}"));
  }
  model->group_timeout =
      DurationOr(redundancy.group().timeout(), model->group_timeout);
  if (redundancy.has_group() && model->group_timeout >= model->deadline) {
    return error({"group", "timeout"},
                 "group.timeout must be below the model's deadline");
  }
  model->pad_short_groups = redundancy.group().short_group() != "unprotected";
  model->replicate_cancels = redundancy.replicate().cancel() == "start"
                                 ? core::CancelLoser::kAtStart
                                 : core::CancelLoser::kAtEnd;
  PARM_RETURN_IF_ERROR(
      ResolveHedge(redundancy.hedge(), model_path, source, model));
  PARM_RETURN_IF_ERROR(
      ResolveHybrid(redundancy.hybrid(), model_path, source, model));
  return ResolveDecode(redundancy.decode(), model_path, source, model);
}

// `taken`: the directories of the models before.
absl::StatusOr<CaptureOptions> ResolveCapture(
    const config::Capture& capture, const std::vector<Step>& model_path,
    const Source& source, std::set<std::string>* taken) {
  const auto error = [&](absl::string_view text) {
    std::vector<Step> path = model_path;
    path.insert(path.end(), {"capture", "directory"});
    return source.Error(path, text);
  };
  CaptureOptions out;
  absl::StatusOr<std::string> directory =
      CheckCaptureDirectory(source.Path(capture.directory()));
  if (!directory.ok()) return error(directory.status().message());
  if (!taken->insert(*directory).second) {
    return error(absl::StrCat("capture directory given twice: ", *directory));
  }
  out.directory = *std::move(directory);
  out.max_queries = ValueOr(capture.max_queries(), out.max_queries);
  out.max_bytes = ValueOr(capture.max_bytes(), out.max_bytes);
  out.max_per_second = ValueOr(capture.max_per_second(), out.max_per_second);
  out.sample = ValueOr(capture.sample(), out.sample);
  out.seed = ValueOr(capture.seed(), out.seed);
  return out;
}

absl::Status ResolveModels(const config::FrontendConfig& config,
                           const Source& source, FrontendOptions* out) {
  std::set<std::string> names;
  std::set<std::string> capture_directories;
  for (int i = 0; i < config.models_size(); ++i) {
    const config::Model& from = config.models(i);
    const std::vector<Step> path = {"models", static_cast<size_t>(i)};
    const auto error = [&](std::vector<Step> keys, absl::string_view text) {
      keys.insert(keys.begin(), path.begin(), path.end());
      return source.Error(keys, text);
    };
    core::ModelOptions model;
    model.name = from.name();
    if (!names.insert(model.name).second) {
      return error({"name"}, absl::StrCat("model named twice: ", model.name));
    }
    model.deadline = DurationOr(from.deadline(), model.deadline);
    if (model.deadline <= Duration{0}) {
      return error({"deadline"}, "deadline must be above 0");
    }
    model.max_batch_size =
        ValueOr(from.batching().max_batch_size(), model.max_batch_size);
    model.batch_timeout =
        DurationOr(from.batching().timeout(), model.batch_timeout);
    if (model.batch_timeout >= model.deadline) {
      return error({"batching", "timeout"},
                   "batching.timeout must be below the model's deadline");
    }
    PARM_RETURN_IF_ERROR(
        ResolveRedundancy(from.redundancy(), path, source, &model));
    if (from.has_default_answer() && from.default_answer().values().empty()) {
      return error({"default_answer"}, "default_answer needs values");
    }
    model.has_default_answer = from.has_default_answer();
    out->default_answers.emplace_back(from.default_answer().values().begin(),
                                      from.default_answer().values().end());
    out->captures.push_back({.name = model.name});
    if (from.has_capture()) {
      PARM_ASSIGN_OR_RETURN(
          out->captures.back().options,
          ResolveCapture(from.capture(), path, source, &capture_directories));
    }
    out->catalog.models.push_back(
        {.name = model.name,
         .code = model.code,
         .needs_calibration = model.decode.min_confidence.has_value() ||
                              model.decode.floor.has_value()});
    out->core.models.push_back(std::move(model));
  }
  return absl::OkStatus();
}

absl::Status ResolveLimits(const config::FrontendConfig& config,
                           const Source& source, FrontendOptions* out) {
  const config::Http& http = config.http();
  out->http.max_body_bytes =
      ValueOr(http.max_body_bytes(), out->http.max_body_bytes);
  out->http.max_json_bytes =
      ValueOr(http.max_json_bytes(), out->http.max_json_bytes);
  out->http.max_decompressed_bytes =
      ValueOr(http.max_decompressed_bytes(), out->http.max_decompressed_bytes);
  out->http.max_connections =
      ValueOr(http.max_connections(), out->http.max_connections);
  out->http.max_pipelined =
      ValueOr(http.max_pipelined(), out->http.max_pipelined);
  out->http.max_header_bytes =
      ValueOr(http.max_header_bytes(), out->http.max_header_bytes);
  out->http.read_timeout =
      DurationOr(http.read_timeout(), out->http.read_timeout);
  out->http.idle_timeout =
      DurationOr(http.idle_timeout(), out->http.idle_timeout);
  out->http.write_timeout =
      DurationOr(http.write_timeout(), out->http.write_timeout);
  for (const auto& [key, timeout] : {
           std::pair<absl::string_view, Duration>{"read_timeout",
                                                  out->http.read_timeout},
           {"idle_timeout", out->http.idle_timeout},
           {"write_timeout", out->http.write_timeout},
       }) {
    if (timeout <= Duration{0}) {
      return source.Error({"http", key}, absl::StrCat(key, " must be above 0"));
    }
  }
  const config::Grpc& grpc = config.grpc();
  out->grpc.max_message_bytes =
      ValueOr(grpc.max_message_bytes(), out->grpc.max_message_bytes);
  out->grpc.max_calls = ValueOr(grpc.max_calls(), out->grpc.max_calls);
  out->grpc.max_streams = ValueOr(grpc.max_streams(), out->grpc.max_streams);
  out->grpc.max_stream_in_flight =
      ValueOr(grpc.max_stream_in_flight(), out->grpc.max_stream_in_flight);
  const config::Limits& limits = config.limits();
  core::CoreOptions& core = out->core;
  core.max_queries = ValueOr(limits.max_queries(), core.max_queries);
  core.max_buffered_bytes =
      ValueOr(limits.max_buffered_bytes(), core.max_buffered_bytes);
  core.feedback_horizon =
      DurationOr(limits.feedback_horizon(), core.feedback_horizon);
  out->exit_timeout = DurationOr(limits.exit_timeout(), out->exit_timeout);
  const config::Health& health = config.health();
  core.heartbeat_timeout =
      DurationOr(health.heartbeat_timeout(), core.heartbeat_timeout);
  core.probe_interval =
      DurationOr(health.probe_interval(), core.probe_interval);
  if (core.probe_interval <= Duration{0}) {
    return source.Error({"health", "probe_interval"},
                        "probe_interval must be above 0");
  }
  if (core.heartbeat_timeout <= Duration{0}) {
    return source.Error({"health", "heartbeat_timeout"},
                        "heartbeat_timeout must be above 0");
  }
  // Of a silent server several signs of life must have been missed.
  out->oip.heartbeat_interval =
      std::max(core.heartbeat_timeout / 5, Milliseconds(1));
  out->oip.keep_late = core.feedback_horizon;
  out->oip.max_reply_bytes = out->http.max_body_bytes;
  // What only the core knows: how many records its tables can number.
  const absl::Status valid = core::ValidateOptions(core);
  if (!valid.ok()) {
    return source.Error({"limits", "max_queries"}, valid.message());
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<FrontendOptions> ParseFrontendConfig(absl::string_view yaml,
                                                    absl::string_view file) {
  config::FrontendConfig config;
  PARM_RETURN_IF_ERROR(ParseStrictYaml(yaml, file, &config));
  PARM_ASSIGN_OR_RETURN(YamlNode root, ParseYamlTree(yaml, file));
  const Source source(std::move(root), file);
  FrontendOptions options;
  if (config.workers().empty()) {
    return source.Error({"workers"}, "workers: at least one is needed");
  }
  if (config.models().empty()) {
    return source.Error({"models"}, "models: at least one is needed");
  }
  PARM_RETURN_IF_ERROR(ResolveWorkers(config, source, &options));
  PARM_RETURN_IF_ERROR(ResolveModels(config, source, &options));
  PARM_RETURN_IF_ERROR(ResolveLimits(config, source, &options));
  return options;
}

absl::StatusOr<FrontendOptions> LoadFrontendConfig(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return absl::NotFoundError(absl::StrCat("cannot read ", path));
  }
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  return ParseFrontendConfig(text, path);
}

}  // namespace parm
