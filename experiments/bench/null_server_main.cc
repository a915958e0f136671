// parm-null-server: a NullServer as a process, to measure the ceiling of
// parm-load and what proxies cost (experiments/README.md). Ends with SIGINT or
// SIGTERM.

#include <signal.h>

#include <cstdint>
#include <cstdio>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "experiments/bench/null_server.h"

int main(int argc, char** argv) {
  CLI::App app("Answers inference requests at once, without a model.");
  parm::NullServerOptions options;
  app.add_option("--http-port", options.port, "Port on 127.0.0.1; 0 picks one");
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

  // Blocked before the server's thread starts, so that sigwait gets them.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  const auto server = parm::NullServer::Create(std::move(options));
  if (!server.ok()) {
    std::fprintf(stderr, "parm-null-server: %s\n",
                 server.status().ToString().c_str());
    return 1;
  }
  std::printf("parm-null-server ready http=127.0.0.1:%d\n", (*server)->port());
  std::fflush(stdout);
  int signal = 0;
  sigwait(&signals, &signal);
  return 0;
}
