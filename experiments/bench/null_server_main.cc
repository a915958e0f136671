// parm-null-server: a NullServer as a process, to measure the ceiling of
// parm-load (experiments/README.md). Ends with SIGINT or SIGTERM.

#include <signal.h>

#include <cstdio>

#include "CLI/CLI.hpp"
#include "experiments/bench/null_server.h"

int main(int argc, char** argv) {
  CLI::App app("Answers inference requests at once, without a model.");
  parm::NullServerOptions options;
  app.add_option("--http-port", options.port, "Port on 127.0.0.1; 0 picks one");
  CLI11_PARSE(app, argc, argv);

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
