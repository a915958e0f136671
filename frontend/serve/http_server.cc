#include "frontend/serve/http_server.h"

#include <utility>

#include "base/status_macros.h"
#include "frontend/serve/http_listener.h"
#include "frontend/serve/oip_handler.h"

namespace parm {

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Create(
    boost::asio::io_context& io, const HttpOptions& options,
    QueryService* service) {
  auto handler = std::make_unique<OipHandler>(options, service);
  PARM_ASSIGN_OR_RETURN(std::unique_ptr<HttpListener> listener,
                        HttpListener::Create(io, options, handler.get()));
  handler->set_counters(&listener->counters());
  return std::unique_ptr<HttpServer>(
      new HttpServer(std::move(handler), std::move(listener)));
}

HttpServer::HttpServer(std::unique_ptr<OipHandler> handler,
                       std::unique_ptr<HttpListener> listener)
    : handler_(std::move(handler)), listener_(std::move(listener)) {}

HttpServer::~HttpServer() = default;

uint16_t HttpServer::port() const { return listener_->port(); }

const HttpCounters& HttpServer::counters() const {
  return listener_->counters();
}

absl::Status HttpServer::UseTls(const TlsIdentity& identity) {
  return listener_->UseTls(identity);
}

void HttpServer::StopAccepting() { listener_->StopAccepting(); }

void HttpServer::Drain(std::function<void()> done) {
  listener_->Drain(std::move(done));
}

}  // namespace parm
