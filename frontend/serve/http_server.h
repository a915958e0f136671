#pragma once

// The Open Inference Protocol over HTTP/1.1, on the caller's loop: what clients
// of the frontend talk to. Steps [1] and [7] of a query's life.
//
//   boost::asio::io_context io(1);
//   auto server = HttpServer::Create(io, {.port = 8000}, &service);

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "frontend/serve/http_counters.h"
#include "frontend/serve/http_options.h"
#include "frontend/serve/query_service.h"

namespace boost::asio {
class io_context;
}  // namespace boost::asio

namespace parm {

class HttpListener;
class OipHandler;

/// Threads: the loop's alone, Create and destruction included.
class HttpServer {
 public:
  /// Listens at once. `io` and `service` outlive the server.
  /// Errors: kInvalidArgument for options that make no sense, certificates
  /// that are none;
  /// kFailedPrecondition if the address cannot be listened on (in use, not
  /// ours), with the system's words.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Create(
      boost::asio::io_context& io, const HttpOptions& options,
      QueryService* service);

  /// Closes all connections at once and abandons their queries.
  ~HttpServer();

  uint16_t port() const;
  const HttpCounters& counters() const;

  /// As HttpListener::UseTls.
  absl::Status UseTls(const TlsIdentity& identity);

  /// No new connections; those that are here go on being served.
  void StopAccepting();

  /// StopAccepting; idle connections are closed in half a second, in which they
  /// still take a request, others behind their last reply. `done` runs once on
  /// the loop when all have ended, never inside this call. A reply that a
  /// client does not read ends with write_timeout.
  void Drain(std::function<void()> done);

 private:
  HttpServer(std::unique_ptr<OipHandler> handler,
             std::unique_ptr<HttpListener> listener);

  const std::unique_ptr<OipHandler> handler_;  // outlives the listener
  const std::unique_ptr<HttpListener> listener_;
};

}  // namespace parm
