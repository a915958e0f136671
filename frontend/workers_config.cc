#include "frontend/workers_config.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "frontend/upstream/oip/endpoints_file.h"
#include "proto/config.pb.h"
#include "proto/curve_keys.h"
#include "proto/duration.h"

namespace parm {
namespace {

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

// One that is not ours, or several.
bool IsServer(const config::WorkerEndpoint& worker) {
  return !worker.endpoints_file().empty() ||
         absl::StartsWith(worker.endpoint(), "http://") ||
         absl::StartsWith(worker.endpoint(), "grpc://");
}

ServerKind KindNamed(absl::string_view name) {
  if (name == "triton") return ServerKind::kTriton;
  if (name == "mlserver") return ServerKind::kMlserver;
  if (name == "kserve") return ServerKind::kKserve;
  return ServerKind::kAuto;
}

core::WorkerChoice ChoiceNamed(absl::string_view name) {
  if (name == "power_of_two_choices") {
    return core::WorkerChoice::kPowerOfTwoChoices;
  }
  if (name == "peak_ewma") return core::WorkerChoice::kPeakEwma;
  if (name == "round_robin") return core::WorkerChoice::kRoundRobin;
  return core::WorkerChoice::kExpectedWait;
}

// Where a server is, or what says where several are.
absl::Status ResolveWhere(const config::WorkerEndpoint& worker,
                          const ConfigPath& path, const ConfigSource& source,
                          OipServerOptions* out) {
  const auto error = [&](absl::string_view key, absl::string_view text) {
    ConfigPath keys = path;
    keys.emplace_back(key);
    return source.Error(keys, text);
  };
  out->endpoint = worker.endpoint();
  out->max_servers = ValueOr(worker.max_servers(), out->max_servers);
  if (!worker.endpoints_file().empty()) {
    out->endpoints_file = source.Path(worker.endpoints_file());
    if (!worker.protocol().empty()) {
      out->protocol = worker.protocol() == "grpc" ? ServerProtocol::kGrpc
                                                  : ServerProtocol::kHttp;
    }
    return absl::OkStatus();
  }
  absl::StatusOr<ServerUrl> url = ParseServerUrl(worker.endpoint());
  if (!url.ok()) {
    return error("endpoint",
                 absl::StrCat("endpoint: ", url.status().message()));
  }
  out->url = *std::move(url);
  const absl::string_view protocol =
      out->url.protocol == ServerProtocol::kGrpc ? "grpc" : "http";
  if (!worker.protocol().empty() &&
      absl::string_view(worker.protocol()) != protocol) {
    return error(
        "protocol",
        absl::StrCat("protocol differs from the endpoint's: got ",
                     worker.protocol(), ", the endpoint says ", protocol));
  }
  if (out->url.numeric && worker.max_servers() != 0) {
    return error("max_servers",
                 "max_servers is for names and for endpoints_file: an address "
                 "is one server");
  }
  return absl::OkStatus();
}

absl::StatusOr<OipServerOptions> ResolveServer(
    const config::FrontendConfig& config, size_t index,
    const ConfigSource& source) {
  const config::WorkerEndpoint& worker =
      config.workers(static_cast<int>(index));
  const ConfigPath path = {"workers", index};
  const auto error = [&](ConfigPath keys, absl::string_view text) {
    keys.insert(keys.begin(), path.begin(), path.end());
    return source.Error(keys, text);
  };
  OipServerOptions out{.kind = KindNamed(worker.server()),
                       .max_in_flight = ValueOr(worker.max_in_flight(), 16U),
                       .lanes = ValueOr(worker.lanes(), 1U)};
  PARM_RETURN_IF_ERROR(ResolveWhere(worker, path, source, &out));
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

absl::StatusOr<std::string> PublicKey(const std::string& file,
                                      const ConfigPath& path,
                                      const ConfigSource& source) {
  absl::StatusOr<std::string> key = LoadCurveKey(source.Path(file));
  if (!key.ok()) return source.Error(path, key.status().message());
  return key;
}

// All of our own workers are spoken to with keys, or none.
absl::Status ResolveCurve(const config::FrontendConfig& config,
                          const ConfigSource& source, FrontendOptions* out) {
  std::string common;
  if (config.has_curve()) {
    absl::StatusOr<CurveKeys> keys =
        LoadCurveKeys(source.Path(config.curve().secret_key()));
    if (!keys.ok()) {
      return source.Error({"curve", "secret_key"}, keys.status().message());
    }
    out->upstream.keys = *std::move(keys);
    if (!config.curve().server_key().empty()) {
      PARM_ASSIGN_OR_RETURN(common, PublicKey(config.curve().server_key(),
                                              {"curve", "server_key"}, source));
    }
  }
  size_t worker = 0;  // of our own
  for (int i = 0; i < config.workers_size(); ++i) {
    const std::string& own = config.workers(i).server_key();
    const auto index = static_cast<size_t>(i);
    const ConfigPath path = {"workers", index, "server_key"};
    if (!own.empty() && !config.has_curve()) {
      return source.Error(path, "server_key needs a section curve");
    }
    if (IsServer(config.workers(i))) continue;
    UpstreamWorker& upstream = out->upstream.workers[worker++];
    if (!config.has_curve()) continue;
    upstream.server_key = common;
    if (!own.empty()) {
      PARM_ASSIGN_OR_RETURN(upstream.server_key, PublicKey(own, path, source));
    }
    if (upstream.server_key.empty()) {
      return source.Error({"workers", index},
                          "curve: this worker has no server_key, and "
                          "curve.server_key is not there");
    }
  }
  return absl::OkStatus();
}

// What a worker may have said to be, and that nobody else is there.
absl::Status CheckEndpoint(const config::WorkerEndpoint& worker, size_t index,
                           const ConfigSource& source,
                           std::set<std::string>* endpoints) {
  const ConfigPath path = {"workers", index, "endpoint"};
  const std::string& endpoint = worker.endpoint();
  if (IsServer(worker) && !worker.server_key().empty()) {
    return source.Error({"workers", index, "server_key"},
                        "server_key is for parm-workers");
  }
  if (!worker.endpoints_file().empty()) {
    if (endpoint.empty()) return absl::OkStatus();
    return source.Error(path, "endpoint and endpoints_file are both given");
  }
  if (!IsServer(worker) && !IsEndpoint(endpoint)) {
    return source.Error(path, absl::StrCat("endpoint: got \"", endpoint,
                                           "\", want tcp://HOST:PORT, "
                                           "ipc://PATH, http://HOST[:PORT] or "
                                           "grpc://HOST:PORT"));
  }
  if (!endpoints->insert(endpoint).second) {
    return source.Error(path, absl::StrCat("endpoint given twice: ", endpoint));
  }
  return absl::OkStatus();
}

// A parm-worker says in its Hello what others are told here.
absl::Status CheckOwnWorker(const config::WorkerEndpoint& worker, size_t index,
                            const ConfigSource& source) {
  for (const auto& [key, given] :
       {std::pair<absl::string_view, bool>{"server", !worker.server().empty()},
        {"serves", !worker.serves().empty()},
        {"lanes", worker.lanes() != 0},
        {"protocol", !worker.protocol().empty()},
        {"max_servers", worker.max_servers() != 0}}) {
    if (!given) continue;
    return source.Error({"workers", index, key},
                        absl::StrCat(key,
                                     " is for http:// and grpc:// endpoints: a "
                                     "parm-worker says so itself"));
  }
  return absl::OkStatus();
}

// What stands in files of endpoints now; it may be others later.
absl::Status CheckFiles(const OipOptions& oip,
                        std::set<std::string>* endpoints) {
  for (const OipServerOptions& entry : oip.servers) {
    if (entry.endpoints_file.empty()) continue;
    PARM_ASSIGN_OR_RETURN(const std::vector<ServerEndpoint> listed,
                          ReadEndpointsFile(entry));
    for (const ServerEndpoint& endpoint : listed) {
      if (endpoints->insert(endpoint.text).second) continue;
      return absl::InvalidArgumentError(
          absl::StrCat(entry.endpoints_file, ":", endpoint.line,
                       ": endpoint given twice: ", endpoint.text));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ResolveWorkers(const config::FrontendConfig& config,
                            const ConfigSource& source, FrontendOptions* out) {
  std::set<std::string> endpoints;
  CatalogOptions of_servers;
  for (int i = 0; i < config.workers_size(); ++i) {
    const config::WorkerEndpoint& worker = config.workers(i);
    const auto index = static_cast<size_t>(i);
    const bool is_server = IsServer(worker);
    PARM_RETURN_IF_ERROR(CheckEndpoint(worker, index, source, &endpoints));
    const uint32_t max_in_flight = ValueOr(worker.max_in_flight(), 16U);
    size_t num_places = 1;
    if (is_server) {
      PARM_ASSIGN_OR_RETURN(OipServerOptions server,
                            ResolveServer(config, index, source));
      num_places = NumPlaces(server);
      out->oip.servers.push_back(std::move(server));
    } else {
      PARM_RETURN_IF_ERROR(CheckOwnWorker(worker, index, source));
      out->upstream.workers.push_back(
          {.endpoint = worker.endpoint(), .max_in_flight = max_in_flight});
    }
    CatalogOptions& catalog = is_server ? of_servers : out->catalog;
    catalog.fault_domains.insert(catalog.fault_domains.end(), num_places,
                                 worker.fault_domain());
    catalog.max_in_flight.insert(catalog.max_in_flight.end(), num_places,
                                 max_in_flight);
  }
  PARM_RETURN_IF_ERROR(CheckFiles(out->oip, &endpoints));
  out->oip.first_worker = static_cast<uint32_t>(out->upstream.workers.size());
  CatalogOptions& catalog = out->catalog;
  catalog.fault_domains.insert(catalog.fault_domains.end(),
                               of_servers.fault_domains.begin(),
                               of_servers.fault_domains.end());
  catalog.max_in_flight.insert(catalog.max_in_flight.end(),
                               of_servers.max_in_flight.begin(),
                               of_servers.max_in_flight.end());
  out->core.num_workers = static_cast<uint32_t>(catalog.max_in_flight.size());
  return ResolveCurve(config, source, out);
}

std::vector<std::string> EndpointsOf(const FrontendOptions& options) {
  std::vector<std::string> endpoints;
  for (const UpstreamWorker& worker : options.upstream.workers) {
    endpoints.push_back(worker.endpoint);
  }
  for (const OipServerOptions& server : options.oip.servers) {
    // A name is there, and down, until it is resolved.
    endpoints.push_back(server.endpoint);
    endpoints.resize(endpoints.size() + NumPlaces(server) - 1);
  }
  return endpoints;
}

absl::Status ResolveWorkerChoice(const config::FrontendConfig& config,
                                 const ConfigSource& source,
                                 core::CoreOptions* out) {
  const config::Balancing& given = config.balancing();
  core::BalancingOptions& balancing = out->balancing;
  balancing.choice = ChoiceNamed(given.worker_choice());
  balancing.decay_time = DurationOr(given.decay_time(), balancing.decay_time);
  balancing.default_rtt =
      DurationOr(given.default_rtt(), balancing.default_rtt);
  if (balancing.decay_time <= Duration{0}) {
    return source.Error({"balancing", "decay_time"},
                        "decay_time must be above 0");
  }
  const config::OutlierDetection& outliers = config.outlier_detection();
  core::EjectionOptions& ejection = out->ejection;
  if (outliers.has_consecutive_5xx()) {
    ejection.consecutive_5xx = outliers.consecutive_5xx();
  }
  if (outliers.has_consecutive_gateway_failure()) {
    ejection.consecutive_gateway_failure =
        outliers.consecutive_gateway_failure();
  }
  if (outliers.has_max_ejection_percent()) {
    ejection.max_ejection_percent = outliers.max_ejection_percent();
  }
  if (outliers.has_latency_factor()) {
    ejection.latency_factor = outliers.latency_factor();
  }
  ejection.latency_request_volume = ValueOr(outliers.latency_request_volume(),
                                            ejection.latency_request_volume);
  ejection.interval = DurationOr(outliers.interval(), ejection.interval);
  ejection.base_ejection_time =
      DurationOr(outliers.base_ejection_time(), ejection.base_ejection_time);
  ejection.max_ejection_time = DurationOr(
      outliers.max_ejection_time(),
      std::max(ejection.max_ejection_time, ejection.base_ejection_time));
  const auto error = [&](absl::string_view key, absl::string_view text) {
    return source.Error({"outlier_detection", key}, text);
  };
  if (ejection.interval <= Duration{0}) {
    return error("interval", "interval must be above 0");
  }
  if (ejection.base_ejection_time <= Duration{0}) {
    return error("base_ejection_time", "base_ejection_time must be above 0");
  }
  if (ejection.max_ejection_time < ejection.base_ejection_time) {
    return error("max_ejection_time",
                 "max_ejection_time is below base_ejection_time");
  }
  if (ejection.latency_factor > 0 && ejection.latency_factor < 1.5) {
    return error("latency_factor",
                 "latency_factor must be 0 (off) or at least 1.5: every other "
                 "answer takes more than the median");
  }
  return absl::OkStatus();
}

}  // namespace parm
