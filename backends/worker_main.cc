#include "backends/worker_main.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "backends/http_port.h"
#include "backends/stop_signals.h"
#include "backends/worker_config.h"
#include "backends/worker_loop.h"
#include "base/status_macros.h"
#include "spdlog/sinks/stdout_color_sinks.h"
#include "spdlog/spdlog.h"

namespace parm {
namespace {

constexpr char kFooter[] = R"(
Example of worker.yaml:
  id: w1
  fault_domain: rack1           # default: the id
  bind: "tcp://127.0.0.1:7001"  # port 0 picks one; the ready line names it
  lanes: 1                      # tasks that run at the same time
  bundles:                      # paths count from this file's folder
    - path: bundles/fashion
      pace: {service: 20ms, spread: 0.05}   # leave out for the model's speed

Prints "parm-worker ready zmq=tcp://ADDRESS:PORT" on stdout, with --http-port
also http=ADDRESS:PORT, once every model has answered a trial inference. SIGTERM
or Ctrl-C finishes what was taken and ends with status 0; a second one ends at
once.)";

constexpr int kUsageError = 2;

struct CommandLine {
  std::string config_path;
  std::string bind;
  std::string id;
  std::string http_address = "127.0.0.1";
  std::optional<uint16_t> http_port;
  std::string log_level = "info";
  bool check_config = false;
};

int Fail(const absl::Status& status) {
  const std::string message(status.message());
  std::fprintf(stderr, "parm-worker: %s\n", message.c_str());
  return 1;
}

absl::Status CheckBundles(const WorkerConfig& config) {
  for (const WorkerConfig::BundleEntry& entry : config.bundles) {
    PARM_RETURN_IF_ERROR(LoadBundle(entry.path).status());
  }
  return absl::OkStatus();
}

// nullptr without --http-port.
absl::StatusOr<std::unique_ptr<HttpPort>> OpenHttpPort(
    const CommandLine& command_line, const WorkerConfig& config,
    WorkerLoop* loop) {
  if (!command_line.http_port) return nullptr;
  return HttpPort::Open({.address = command_line.http_address,
                         .port = *command_line.http_port,
                         .max_body_bytes = config.loop.max_message_bytes,
                         .max_held_bytes = config.loop.max_queued_bytes},
                        loop);
}

absl::Status Serve(const CommandLine& command_line, const WorkerConfig& config,
                   const ModelLoader& load_model) {
  PARM_ASSIGN_OR_RETURN(auto bundles, LoadBundles(config, load_model));
  for (const auto& bundle : bundles) {
    const bundle::Manifest& manifest = bundle->bundle().manifest;
    spdlog::info("serves {} bundle of model {} version {}: id {}, {}",
                 manifest.role(), manifest.model(), manifest.version(),
                 ToHex(bundle->bundle().id).substr(0, 12),
                 bundle->pace().has_value() ? "paced" : "at its own speed");
  }
  PARM_ASSIGN_OR_RETURN(const std::unique_ptr<WorkerLoop> loop,
                        WorkerLoop::Create(config.loop, std::move(bundles)));
  PARM_ASSIGN_OR_RETURN(const std::unique_ptr<HttpPort> http,
                        OpenHttpPort(command_line, config, loop.get()));
  DrainOnStopSignals(loop.get());
  const std::string http_word =
      http == nullptr ? ""
                      : absl::StrCat(" http=", command_line.http_address, ":",
                                     http->port());
  std::printf("parm-worker ready zmq=%s%s\n", loop->endpoint().c_str(),
              http_word.c_str());
  std::fflush(stdout);
  loop->Run();
  if (http != nullptr) http->Stop(Milliseconds(1000));
  DrainOnStopSignals(nullptr);
  spdlog::info("drained: {}", loop->counters().ToString());
  return absl::OkStatus();
}

absl::Status RunWorker(const CommandLine& command_line,
                       const ModelLoader& load_model) {
  PARM_ASSIGN_OR_RETURN(WorkerConfig config,
                        LoadWorkerConfig(command_line.config_path));
  if (!command_line.bind.empty()) config.loop.bind = command_line.bind;
  if (!command_line.id.empty()) {
    // A domain that was not named follows the id.
    if (config.loop.fault_domain == config.loop.id) {
      config.loop.fault_domain = command_line.id;
    }
    config.loop.id = command_line.id;
  }
  if (command_line.check_config) {
    PARM_RETURN_IF_ERROR(CheckBundles(config));
    std::printf("%s: OK\n", command_line.config_path.c_str());
    return absl::OkStatus();
  }
  return Serve(command_line, config, load_model);
}

}  // namespace

int WorkerMain(int argc, char** argv, const ModelLoader& load_model) {
  CommandLine command_line;
  CLI::App app("Serves model bundles to parm-frontend over ZeroMQ.",
               "parm-worker");
  app.footer(kFooter);
  app.set_version_flag("--version", "parm-worker " PARM_VERSION);
  app.add_option("--config", command_line.config_path,
                 "Configuration file (worker.yaml)")
      ->required()
      ->type_name("FILE");
  app.add_option("--bind", command_line.bind,
                 "Address to listen on, instead of the file's")
      ->type_name("tcp://ADDRESS:PORT");
  app.add_option("--id", command_line.id,
                 "Name of this worker, instead of the file's")
      ->type_name("NAME");
  app.add_option("--http-port", command_line.http_port,
                 "Serve the Open Inference Protocol too; 0 picks a port")
      ->type_name("PORT");
  app.add_option("--http-address", command_line.http_address,
                 "Address of --http-port (default: 127.0.0.1)")
      ->type_name("ADDRESS");
  app.add_option("--log-level", command_line.log_level,
                 "What goes to stderr (default: info)")
      ->check(CLI::IsMember({"debug", "info", "warn", "error", "off"}));
  app.add_flag("--check-config", command_line.check_config,
               "Check the file and its bundles, serve nothing");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsageError;
  }
  try {
    spdlog::set_default_logger(spdlog::stderr_color_mt("parm-worker"));
    spdlog::set_level(spdlog::level::from_str(command_line.log_level));
  } catch (const spdlog::spdlog_ex& error) {
    return Fail(absl::InternalError(error.what()));
  }
  const absl::Status status = RunWorker(command_line, load_model);
  return status.ok() ? 0 : Fail(status);
}

}  // namespace parm
