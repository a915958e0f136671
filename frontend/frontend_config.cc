#include "frontend/frontend_config.h"

#include <algorithm>
#include <cstdint>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "frontend/capture_directory.h"
#include "frontend/config_source.h"
#include "frontend/core/core_state.h"
#include "frontend/redundancy_config.h"
#include "frontend/workers_config.h"
#include "proto/atomic_file.h"
#include "proto/config.pb.h"
#include "proto/strict_yaml.h"

namespace parm {
namespace {

// A server that takes longer than that to say how it is serves nobody.
constexpr Duration kLongestCheckTimeout = Milliseconds(60'000);

// `taken`: the directories of the models before.
absl::StatusOr<CaptureOptions> ResolveCapture(const config::Capture& capture,
                                              const ConfigPath& model_path,
                                              const ConfigSource& source,
                                              std::set<std::string>* taken) {
  const auto error = [&](absl::string_view text) {
    ConfigPath path = model_path;
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

CatalogModel CatalogModelOf(const config::Redundancy& redundancy,
                            const core::ModelOptions& model) {
  CatalogModel out = {
      .name = model.name,
      .chooses_unit = redundancy.units_size() > 0,
      .needs_calibration = model.decode.min_confidence.has_value() ||
                           model.decode.floor.has_value()};
  for (size_t unit = 0; unit < model.num_units(); ++unit) {
    out.codes.push_back(model.code_of(unit));
  }
  if (redundancy.has_max_accuracy_drop()) {
    out.max_accuracy_drop = redundancy.max_accuracy_drop();
  }
  return out;
}

absl::Status ResolveModels(const config::FrontendConfig& config,
                           const ConfigSource& source, FrontendOptions* out) {
  std::set<std::string> names;
  std::set<std::string> capture_directories;
  for (int i = 0; i < config.models_size(); ++i) {
    const config::Model& from = config.models(i);
    const ConfigPath path = {"models", static_cast<size_t>(i)};
    const auto error = [&](ConfigPath keys, absl::string_view text) {
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
    out->catalog.models.push_back(CatalogModelOf(from.redundancy(), model));
    out->core.models.push_back(std::move(model));
  }
  return absl::OkStatus();
}

absl::StatusOr<PortTls> ResolveTls(const config::Tls& tls,
                                   absl::string_view port,
                                   const ConfigSource& source) {
  PortTls out;
  out.handshake_timeout =
      DurationOr(tls.handshake_timeout(), out.handshake_timeout);
  if (out.handshake_timeout < Milliseconds(1)) {
    return source.Error({port, "tls", "handshake_timeout"},
                        "handshake_timeout must be 1ms or more");
  }
  if (tls.client_ca().empty() && !tls.client_certificates().empty()) {
    return source.Error({port, "tls", "client_certificates"},
                        "client_certificates needs client_ca");
  }
  absl::StatusOr<TlsIdentity> identity = LoadTlsIdentity(
      {.certificate_chain = source.Path(tls.certificate_chain()),
       .private_key = source.Path(tls.private_key()),
       .client_ca = tls.client_ca().empty() ? "" : source.Path(tls.client_ca()),
       .require_client_certificate = tls.client_certificates() != "optional"});
  if (!identity.ok()) {
    return source.Error({port, "tls"}, identity.status().message());
  }
  out.identity = *std::move(identity);
  return out;
}

absl::Status ResolvePortsTls(const config::FrontendConfig& config,
                             const ConfigSource& source, PortsTls* out) {
  if (config.http().has_tls()) {
    PARM_ASSIGN_OR_RETURN(out->http,
                          ResolveTls(config.http().tls(), "http", source));
  }
  if (config.grpc().has_tls()) {
    PARM_ASSIGN_OR_RETURN(out->grpc,
                          ResolveTls(config.grpc().tls(), "grpc", source));
  }
  return absl::OkStatus();
}

absl::Status ResolveAttemptHeaders(const config::AttemptHeaders& given,
                                   const ConfigSource& source,
                                   std::vector<AttemptHeader>* out) {
  if (given.ignore() && given.headers_size() > 0) {
    return source.Error({"attempt_headers", "ignore"},
                        "ignore: headers are given too");
  }
  if (given.ignore() || given.headers_size() > 0) out->clear();
  for (const config::AttemptHeader& header : given.headers()) {
    out->push_back({.name = header.name(), .first = header.first()});
  }
  return absl::OkStatus();
}

absl::Status ResolveHttp(const config::Http& http, const ConfigSource& source,
                         FrontendOptions* out) {
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
  // zlib counts in 32 bits, and so does whoever reads JSON.
  for (const auto& [key, bytes] : {
           std::pair<absl::string_view, size_t>{"max_body_bytes",
                                                out->http.max_body_bytes},
           {"max_json_bytes", out->http.max_json_bytes},
           {"max_decompressed_bytes", out->http.max_decompressed_bytes},
       }) {
    if (bytes > UINT32_MAX) {
      return source.Error({"http", key},
                          absl::StrCat(key, " is too large: got ", bytes,
                                       ", want at most ", UINT32_MAX));
    }
  }
  return absl::OkStatus();
}

absl::Status ResolveHealth(const config::Health& health,
                           const ConfigSource& source, FrontendOptions* out) {
  core::CoreOptions& core = out->core;
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
  out->oip.resolve_interval =
      DurationOr(health.resolve_interval(), out->oip.resolve_interval);
  if (out->oip.resolve_interval <= Duration{0}) {
    return source.Error({"health", "resolve_interval"},
                        "resolve_interval must be above 0");
  }
  out->oip.bundle_check_interval = DurationOr(health.bundle_check_interval(),
                                              out->oip.bundle_check_interval);
  out->oip.check_timeout = DurationOr(health.timeout(), out->oip.check_timeout);
  if (out->oip.check_timeout <= Duration{0} ||
      out->oip.check_timeout > kLongestCheckTimeout) {
    return source.Error({"health", "timeout"},
                        "timeout must be above 0 and at most 60s");
  }
  // Of a silent server several signs of life must have been missed.
  out->oip.heartbeat_interval =
      std::max(core.heartbeat_timeout / 5, Milliseconds(1));
  return absl::OkStatus();
}

absl::Status ResolveLimits(const config::FrontendConfig& config,
                           const ConfigSource& source, FrontendOptions* out) {
  PARM_RETURN_IF_ERROR(ResolveHttp(config.http(), source, out));
  const config::Grpc& grpc = config.grpc();
  out->grpc.max_message_bytes =
      ValueOr(grpc.max_message_bytes(), out->grpc.max_message_bytes);
  out->grpc.max_calls = ValueOr(grpc.max_calls(), out->grpc.max_calls);
  out->grpc.max_streams = ValueOr(grpc.max_streams(), out->grpc.max_streams);
  out->grpc.max_stream_in_flight =
      ValueOr(grpc.max_stream_in_flight(), out->grpc.max_stream_in_flight);
  out->grpc.drain_patience =
      DurationOr(grpc.drain_patience(), out->grpc.drain_patience);
  const config::Limits& limits = config.limits();
  core::CoreOptions& core = out->core;
  core.max_queries = ValueOr(limits.max_queries(), core.max_queries);
  core.max_buffered_bytes =
      ValueOr(limits.max_buffered_bytes(), core.max_buffered_bytes);
  core.feedback_horizon =
      DurationOr(limits.feedback_horizon(), core.feedback_horizon);
  out->exit_timeout = DurationOr(limits.exit_timeout(), out->exit_timeout);
  SequenceOptions& sequences = out->sequences;
  sequences.max_sequences = ValueOr(
      limits.max_sequences(), static_cast<uint32_t>(sequences.max_sequences));
  sequences.idle_timeout =
      DurationOr(limits.sequence_idle_timeout(), sequences.idle_timeout);
  if (sequences.idle_timeout <= Duration{0}) {
    return source.Error({"limits", "sequence_idle_timeout"},
                        "sequence_idle_timeout must be above 0");
  }
  PARM_RETURN_IF_ERROR(ResolveHealth(config.health(), source, out));
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
  const ConfigSource source(std::move(root), file);
  FrontendOptions options;
  if (config.workers().empty()) {
    return source.Error({"workers"}, "workers: at least one is needed");
  }
  if (config.models().empty()) {
    return source.Error({"models"}, "models: at least one is needed");
  }
  PARM_RETURN_IF_ERROR(ResolveWorkers(config, source, &options));
  PARM_RETURN_IF_ERROR(ResolveWorkerChoice(config, source, &options.core));
  PARM_RETURN_IF_ERROR(ResolveModels(config, source, &options));
  PARM_RETURN_IF_ERROR(ResolveLimits(config, source, &options));
  PARM_RETURN_IF_ERROR(ResolvePortsTls(config, source, &options.tls));
  PARM_RETURN_IF_ERROR(ResolveAttemptHeaders(config.attempt_headers(), source,
                                             &options.attempt_headers));
  return options;
}

absl::StatusOr<FrontendOptions> LoadFrontendConfig(const std::string& path) {
  PARM_ASSIGN_OR_RETURN(
      const std::string text,
      ReadWholeFile(path, static_cast<int64_t>(kMaxYamlBytes)));
  return ParseFrontendConfig(text, path);
}

}  // namespace parm
