// parm-frontend: reads the command line and the configuration, starts the loop
// and its listeners, prints the ready line, and drains on SIGTERM.

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "boost/asio/io_context.hpp"
#include "boost/asio/signal_set.hpp"
#include "boost/asio/steady_timer.hpp"
#include "frontend/file_watcher.h"
#include "frontend/frontend_config.h"
#include "frontend/json_log.h"
#include "frontend/listener_metrics.h"
#include "frontend/reloading_frontend.h"
#include "frontend/serve/grpc/grpc_server.h"
#include "frontend/serve/http_server.h"
#include "frontend/serve/metrics_server.h"
#include "proto/curve_keys.h"
#include "spdlog/spdlog.h"

namespace parm {
namespace {

constexpr char kFooter[] = R"(
Example of frontend.yaml:
  workers:                                # roles come from the workers
    - {endpoint: "tcp://127.0.0.1:7001"}
    - {endpoint: "tcp://127.0.0.1:7002", max_in_flight: 16}
  models:
    - name: fashion
      deadline: 500ms
      redundancy:
        policy: coded                     # docs/policies/ has them all
        code: {scheme: sum, k: 2, r: 1}
      capture: {directory: captured}      # a sample of the inputs, as .npy;
                                          # absent: nothing is written down

Prints "parm-frontend ready http=ADDRESS:PORT grpc=... metrics=..." on stdout
once it listens; /v2/health/ready says when every model has a worker. SIGTERM or
Ctrl-C answers what was taken and ends with status 0; a second one ends at
once. SIGHUP reads the file anew; one with a mistake changes nothing.)";

struct CommandLine {
  std::string config_path;
  std::string make_curve_keys;  // a path; empty: serve
  std::string http_address = "127.0.0.1";
  uint16_t http_port = 8000;
  std::string grpc_address = "127.0.0.1";
  uint16_t grpc_port = 8001;
  bool allow_grpc = true;
  uint16_t metrics_port = 8002;
  std::string log_format = "text";
  std::string log_level = "info";
  std::optional<double> exit_timeout_s;
  bool watch_config = false;
  bool check_config = false;
};

constexpr Duration kWatchInterval = Milliseconds(1000);

int Fail(const absl::Status& status) {
  const std::string message(status.message());
  std::fprintf(stderr, "parm-frontend: %s\n", message.c_str());
  return 1;
}

std::string HostPort(const std::string& address, uint16_t port) {
  return absl::StrContains(address, ':')
             ? absl::StrCat("[", address, "]:", port)
             : absl::StrCat(address, ":", port);
}

HttpOptions ListenOptions(const CommandLine& command_line,
                          const FrontendOptions& options) {
  HttpOptions http;
  http.address = command_line.http_address;
  http.port = command_line.http_port;
  http.max_connections = options.http.max_connections;
  http.max_pipelined = options.http.max_pipelined;
  http.max_body_bytes = options.http.max_body_bytes;
  http.max_json_bytes = options.http.max_json_bytes;
  http.max_decompressed_bytes = options.http.max_decompressed_bytes;
  http.max_buffered_bytes = options.core.max_buffered_bytes;
  http.max_header_bytes = options.http.max_header_bytes;
  http.read_timeout = options.http.read_timeout;
  http.idle_timeout = options.http.idle_timeout;
  http.write_timeout = options.http.write_timeout;
  http.tls = options.tls.http.identity;
  http.handshake_timeout = options.tls.http.handshake_timeout;
  http.server_version = PARM_VERSION;
  return http;
}

GrpcOptions GrpcListenOptions(const CommandLine& command_line,
                              const FrontendOptions& options) {
  GrpcOptions grpc;
  grpc.address = command_line.grpc_address;
  grpc.port = command_line.grpc_port;
  grpc.max_message_bytes = options.grpc.max_message_bytes;
  grpc.max_calls = options.grpc.max_calls;
  grpc.max_streams = options.grpc.max_streams;
  grpc.max_stream_in_flight = options.grpc.max_stream_in_flight;
  grpc.drain_patience = options.grpc.drain_patience;
  grpc.max_buffered_bytes = options.core.max_buffered_bytes;
  grpc.tls = options.tls.grpc.identity;
  grpc.handshake_timeout = options.tls.grpc.handshake_timeout;
  grpc.server_version = PARM_VERSION;
  return grpc;
}

// Ends the process in order: on the first signal readiness fails, nothing new
// is accepted, and what was taken is answered, for at most `exit_timeout`.
class Shutdown {
 public:
  // `grpc` may be null.
  Shutdown(boost::asio::io_context& io, ReloadingFrontend& frontend,
           HttpServer& http, GrpcServer* grpc, Duration exit_timeout)
      : io_(io),
        frontend_(frontend),
        http_(http),
        grpc_(grpc),
        listeners_(grpc == nullptr ? 1 : 2),
        exit_timeout_(exit_timeout),
        signals_(io, SIGINT, SIGTERM),
        timer_(io) {
    Wait();
  }

  bool timed_out() const { return timed_out_; }

 private:
  void Wait() {
    signals_.async_wait([this](const boost::system::error_code& error, int) {
      if (error) return;
      if (draining_) std::_Exit(1);
      draining_ = true;
      Begin();
      Wait();
    });
  }

  void Begin() {
    spdlog::info("draining");
    timer_.expires_after(exit_timeout_);
    timer_.async_wait([this](const boost::system::error_code& error) {
      if (error) return;
      timed_out_ = true;
      io_.stop();
    });
    frontend_.Drain([this] {
      http_.Drain([this] { OnListenerDrained(); });
      if (grpc_ != nullptr) grpc_->Drain([this] { OnListenerDrained(); });
    });
    http_.StopAccepting();
    if (grpc_ != nullptr) grpc_->StopAccepting();
  }

  void OnListenerDrained() {
    if (--listeners_ == 0) io_.stop();
  }

  boost::asio::io_context& io_;
  ReloadingFrontend& frontend_;
  HttpServer& http_;
  GrpcServer* const grpc_;
  int listeners_;  // not drained yet
  const Duration exit_timeout_;
  boost::asio::signal_set signals_;
  boost::asio::steady_timer timer_;
  bool draining_ = false;
  bool timed_out_ = false;
};

// Takes the certificates of a port that a configuration read anew has.
template <typename Server>
void UseCertificates(absl::string_view port, const PortTls& then,
                     Server* server, PortTls* in_use) {
  if (server == nullptr || *in_use == then) return;
  absl::Status used = absl::FailedPreconditionError(
      "whether the port speaks TLS has changed: this takes a restart");
  if (in_use->identity.has_value() && then.identity.has_value()) {
    used = server->UseTls(*then.identity);
  }
  const std::string name(port);
  if (used.ok()) {
    *in_use = then;
    spdlog::info("new certificates on the {} port", name);
  } else {
    spdlog::error("{} port: the old certificates stay: {}", name,
                  std::string(used.message()));
  }
}

void ReloadOnHangup(boost::asio::signal_set& hangups,
                    ReloadingFrontend& frontend) {
  hangups.async_wait(
      [&hangups, &frontend](const boost::system::error_code& error, int) {
        if (error) return;
        frontend.Reload();
        ReloadOnHangup(hangups, frontend);
      });
}

absl::Status Serve(const CommandLine& command_line, FrontendOptions options) {
  const HttpOptions http_options = ListenOptions(command_line, options);
  const GrpcOptions grpc_options = GrpcListenOptions(command_line, options);
  const Duration exit_timeout = command_line.exit_timeout_s.has_value()
                                    ? FromSeconds(*command_line.exit_timeout_s)
                                    : options.exit_timeout;
  PortsTls tls = options.tls;
  boost::asio::io_context io(1);
  PARM_ASSIGN_OR_RETURN(
      const std::unique_ptr<ReloadingFrontend> frontend,
      ReloadingFrontend::Create(
          io, std::move(options),
          [&] { return LoadFrontendConfig(command_line.config_path); }, {}));
  PARM_ASSIGN_OR_RETURN(const std::unique_ptr<HttpServer> http,
                        HttpServer::Create(io, http_options, frontend.get()));
  PARM_ASSIGN_OR_RETURN(
      const std::unique_ptr<MetricsServer> metrics,
      MetricsServer::Create(io, command_line.http_address,
                            command_line.metrics_port, frontend.get()));
  std::unique_ptr<GrpcServer> grpc;
  std::string grpc_ready;
  if (command_line.allow_grpc) {
    PARM_ASSIGN_OR_RETURN(grpc,
                          GrpcServer::Create(io, grpc_options, frontend.get()));
    grpc_ready = absl::StrCat(
        " grpc=", HostPort(command_line.grpc_address, grpc->port()));
  }
  frontend->OnCertificates([&](const PortsTls& then) {
    UseCertificates("http", then.http, http.get(), &tls.http);
    UseCertificates("grpc", then.grpc, grpc.get(), &tls.grpc);
  });
  frontend->AppendMetrics([&] {
    std::string text = RenderHttpMetrics(http->counters());
    text += RenderTlsMetrics(tls);
    if (grpc != nullptr) text += RenderGrpcMetrics(grpc->counters());
    return text;
  });
  Shutdown shutdown(io, *frontend, *http, grpc.get(), exit_timeout);
  boost::asio::signal_set hangups(io, SIGHUP);
  ReloadOnHangup(hangups, *frontend);
  std::optional<FileWatcher> watcher;
  if (command_line.watch_config) {
    watcher.emplace(io, command_line.config_path, kWatchInterval,
                    [&frontend] { frontend->Reload(); });
  }
  std::printf("parm-frontend ready http=%s%s metrics=%s\n",
              HostPort(command_line.http_address, http->port()).c_str(),
              grpc_ready.c_str(),
              HostPort(command_line.http_address, metrics->port()).c_str());
  std::fflush(stdout);
  io.run();
  if (shutdown.timed_out()) {
    return absl::DeadlineExceededError(
        "queries were still unanswered when the exit timeout passed");
  }
  spdlog::info("drained");
  return absl::OkStatus();
}

absl::Status Run(const CommandLine& command_line) {
  if (!command_line.make_curve_keys.empty()) {
    PARM_RETURN_IF_ERROR(MakeCurveKeys(command_line.make_curve_keys));
    std::printf("%s, %s.pub\n", command_line.make_curve_keys.c_str(),
                command_line.make_curve_keys.c_str());
    return absl::OkStatus();
  }
  PARM_RETURN_IF_ERROR(
      StartLogging(command_line.log_format, command_line.log_level));
  // A capture that meets the limit on a file's size is told by write().
  std::signal(SIGXFSZ, SIG_IGN);
  PARM_ASSIGN_OR_RETURN(FrontendOptions options,
                        LoadFrontendConfig(command_line.config_path));
  if (command_line.check_config) {
    std::printf("%s: OK\n", command_line.config_path.c_str());
    return absl::OkStatus();
  }
  return Serve(command_line, std::move(options));
}

void AddOptions(CLI::App& app, CommandLine& command_line) {
  app.set_version_flag("--version", "parm-frontend " PARM_VERSION);
  app.add_option("--config", command_line.config_path,
                 "Configuration file (frontend.yaml)")
      ->type_name("FILE");
  app.add_option("--http-address", command_line.http_address,
                 "Address to listen on (default: 127.0.0.1)")
      ->type_name("ADDRESS");
  app.add_option("--http-port", command_line.http_port,
                 "Port for inference, 0 picks one (default: 8000)")
      ->type_name("PORT");
  app.add_option("--grpc-address", command_line.grpc_address,
                 "Address to listen on for gRPC (default: 127.0.0.1)")
      ->type_name("ADDRESS");
  app.add_option("--grpc-port", command_line.grpc_port,
                 "Port for inference over gRPC, 0 picks one (default: 8001)")
      ->type_name("PORT");
  app.add_option("--allow-grpc", command_line.allow_grpc,
                 "Whether to serve gRPC (default: true)")
      ->type_name("BOOL");
  app.add_option("--metrics-port", command_line.metrics_port,
                 "Port for /metrics, 0 picks one (default: 8002)")
      ->type_name("PORT");
  app.add_option("--log-format", command_line.log_format,
                 "Form of the log on stderr (default: text)")
      ->check(CLI::IsMember({"text", "json"}));
  app.add_option("--log-level", command_line.log_level,
                 "What goes to stderr (default: info)")
      ->check(CLI::IsMember({"debug", "info", "warn", "error", "off"}));
  app.add_option("--exit-timeout-secs", command_line.exit_timeout_s,
                 "How long a drain may take, instead of the file's")
      ->check(CLI::Range(0.0, 3600.0))
      ->type_name("SECONDS");
  app.add_flag(
      "--watch-config", command_line.watch_config,
      "Read the configuration file anew when it changes, as on SIGHUP");
  app.add_flag("--check-config", command_line.check_config,
               "Check the configuration file, serve nothing");
  app.add_option("--make-curve-keys", command_line.make_curve_keys,
                 "Write new keys for section curve, of a frontend or a worker: "
                 "the secret one to FILE, the public one to FILE.pub")
      ->type_name("FILE");
}

}  // namespace
}  // namespace parm

int main(int argc, char** argv) {
  constexpr int kUsageError = 2;
  parm::CommandLine command_line;
  CLI::App app(
      "Answers inference queries in time although workers straggle or die.",
      "parm-frontend");
  app.footer(parm::kFooter);
  parm::AddOptions(app, command_line);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsageError;
  }
  if (command_line.config_path.empty() &&
      command_line.make_curve_keys.empty()) {
    std::fputs("parm-frontend: --config FILE is missing: see --help\n", stderr);
    return kUsageError;
  }
  const absl::Status status = parm::Run(command_line);
  return status.ok() ? 0 : parm::Fail(status);
}
