#pragma once

// GET /metrics, and GET / for people, on a port of its own, so that what
// Prometheus reads is never behind what clients send.

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "frontend/serve/query_service.h"

namespace boost::asio {
class io_context;
}  // namespace boost::asio

namespace parm {

class HttpHandler;
class HttpListener;

/// Threads: the loop's alone, Create and destruction included.
class MetricsServer {
 public:
  /// Listens at once; port 0 picks one. `io` and `service` outlive the server.
  /// Errors: as HttpServer::Create.
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Create(
      boost::asio::io_context& io, const std::string& address, uint16_t port,
      QueryService* service);
  ~MetricsServer();

  uint16_t port() const;

 private:
  MetricsServer(std::unique_ptr<HttpHandler> handler,
                std::unique_ptr<HttpListener> listener);

  const std::unique_ptr<HttpHandler> handler_;  // outlives the listener
  const std::unique_ptr<HttpListener> listener_;
};

}  // namespace parm
