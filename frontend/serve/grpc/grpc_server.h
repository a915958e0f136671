#pragma once

// The Open Inference Protocol over gRPC, with grpc.health.v1 and reflection:
// what clients of the frontend talk to beside HTTP. Steps [1] and [7] of a
// query's life. The gRPC library has threads of its own; they translate, and
// the caller's loop does the rest.
//
//   auto server = GrpcServer::Create(io, {.port = 8001}, &service);

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "frontend/serve/grpc/grpc_counters.h"
#include "frontend/serve/grpc/grpc_options.h"
#include "frontend/serve/query_service.h"

namespace boost::asio {
class io_context;
}  // namespace boost::asio

namespace parm {

/// Threads: the loop's alone, Create and destruction included.
class GrpcServer {
 public:
  /// Listens at once. `io` and `service` outlive the server.
  /// Errors: kInvalidArgument for an address or certificates that are none;
  /// kFailedPrecondition if it cannot be listened on (in use, not ours), with
  /// the system's words.
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Create(
      boost::asio::io_context& io, const GrpcOptions& options,
      QueryService* service);

  /// Ends all calls at once with UNAVAILABLE, and abandons their queries.
  ~GrpcServer();

  uint16_t port() const;
  const GrpcCounters& counters() const;

  /// Takes these certificates from the next connection on; those that are open
  /// keep theirs.
  /// Errors: as LoadTlsIdentity; kFailedPrecondition if the port does not speak
  /// TLS, or whether clients are asked for certificates has changed. Nothing
  /// has changed then.
  absl::Status UseTls(const TlsIdentity& identity);

  /// grpc.health.v1 says NOT_SERVING from now on; no new streams, and those
  /// that are open end behind the replies to what they sent.
  void StopAccepting();

  /// StopAccepting, and ends every connection when nothing is under way on it.
  /// `done` runs once on the loop, never inside this call. Replies that a
  /// client does not read are given up after GrpcOptions::drain_patience.
  void Drain(std::function<void()> done);

 private:
  class Impl;
  explicit GrpcServer(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace parm
