// parm-null-server: a NullServer as a process, to measure the ceiling of
// parm-load and what proxies cost (experiments/README.md); with --grpc-port a
// NullGrpcServer beside it. Ends with SIGINT or SIGTERM.

#include <signal.h>

#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "experiments/bench/null_grpc_server.h"
#include "experiments/bench/null_server.h"

namespace {

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "parm-null-server: %s\n", status.ToString().c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Answers inference requests at once, without a model.");
  parm::NullServerOptions options;
  std::optional<uint16_t> grpc_port;
  app.add_option("--http-port", options.port, "Port on 127.0.0.1; 0 picks one");
  app.add_option("--grpc-port", grpc_port, "The same for gRPC; default: none");
  app.add_option("--model", options.model, "Its name");
  app.add_option("--input-name", options.input.name, "Of its FP32 input");
  std::vector<int64_t> shape = {1, 28, 28};
  app.add_option("--shape", shape, "Of one sample, as 3,224,224")
      ->delimiter(',')
      ->check(CLI::Range(1, 1 << 20));
  app.add_option("--classes", options.num_classes, "In its answer")
      ->check(CLI::Range(1, 1 << 20));
  CLI11_PARSE(app, argc, argv);
  options.input.shape = {-1};
  options.input.shape.insert(options.input.shape.end(), shape.begin(),
                             shape.end());

  // Blocked before the servers' threads start, so that sigwait gets them.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  const auto server = parm::NullServer::Create(options);
  if (!server.ok()) return Fail(server.status());
  std::unique_ptr<parm::NullGrpcServer> grpc_server;
  std::printf("parm-null-server ready http=127.0.0.1:%d", (*server)->port());
  if (grpc_port.has_value()) {
    options.port = *grpc_port;
    auto created = parm::NullGrpcServer::Create(std::move(options));
    if (!created.ok()) return Fail(created.status());
    grpc_server = *std::move(created);
    std::printf(" grpc=127.0.0.1:%d", grpc_server->port());
  }
  std::printf("\n");
  std::fflush(stdout);
  int signal = 0;
  sigwait(&signals, &signal);
  return 0;
}
