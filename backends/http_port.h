#pragma once

// The worker's HTTP port, for clients that are no parm-frontend: a balancer, a
// plain inference client. One thread of its own reads requests and writes
// replies; tasks go to the worker loop's queue beside those of frontends.
// The only file of this folder with Beast is http_port.cc.

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "backends/worker_loop.h"
#include "base/time.h"

namespace parm {

class HttpPort {
 public:
  struct Options {
    std::string address = "127.0.0.1";
    uint16_t port = 0;  // 0 picks one
    uint64_t max_body_bytes = uint64_t{256} << 20;
    /// Of all bodies at once; one may come in, whatever its size.
    uint64_t max_held_bytes = uint64_t{1} << 30;
    size_t max_connections = 256;
    /// To send a request, and to take a reply.
    Duration io_timeout = Milliseconds(30'000);
    /// Between requests.
    Duration idle_timeout = Milliseconds(120'000);
  };

  /// Listens, and serves until Stop or the destructor.
  /// `loop` outlives this, and its Run has ended before Stop is called.
  /// Errors: kInvalidArgument for an address that is none; kUnavailable if the
  /// port cannot be bound.
  static absl::StatusOr<std::unique_ptr<HttpPort>> Open(const Options& options,
                                                        WorkerLoop* loop);
  ~HttpPort();
  HttpPort(const HttpPort&) = delete;
  HttpPort& operator=(const HttpPort&) = delete;

  uint16_t port() const;

  /// Takes nothing more; what is being written has `linger` to leave.
  void Stop(Duration linger);

 private:
  class Impl;
  explicit HttpPort(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace parm
