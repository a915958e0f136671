// An HttpServer over FakeQueryService as a program of its own, for clients that
// are not C++. Prints "ready http=127.0.0.1:PORT metrics=127.0.0.1:PORT" and
// runs until standard input ends, so that it cannot outlive who started it.

#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstdio>
#include <cstdlib>

#include "frontend/serve/http_server.h"
#include "frontend/serve/metrics_server.h"
#include "tests/frontend/serve/fake_query_service.h"

namespace {

/// Reads and forgets until the end.
void AwaitEnd(boost::asio::posix::stream_descriptor& input,
              boost::asio::io_context& io) {
  static char bytes[256];
  input.async_read_some(boost::asio::buffer(bytes),
                        [&](boost::system::error_code error, size_t) {
                          if (error) return io.stop();
                          AwaitEnd(input, io);
                        });
}

}  // namespace

int main(int argc, char** argv) {
  const int64_t num_values = argc > 1 ? std::atoi(argv[1]) : 4;
  boost::asio::io_context io(1);
  parm::FakeQueryService service(io, num_values);
  const auto server = parm::HttpServer::Create(io, {}, &service);
  const auto metrics =
      parm::MetricsServer::Create(io, "127.0.0.1", 0, &service);
  if (!server.ok() || !metrics.ok()) {
    std::fprintf(stderr, "cannot listen\n");
    return 1;
  }
  std::printf("ready http=127.0.0.1:%d metrics=127.0.0.1:%d\n",
              (*server)->port(), (*metrics)->port());
  std::fflush(stdout);
  boost::asio::posix::stream_descriptor input(io, dup(STDIN_FILENO));
  AwaitEnd(input, io);
  io.run();
  return 0;
}
