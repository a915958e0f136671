#include "frontend/serve/metrics_server.h"

#include <utility>

#include "base/status_macros.h"
#include "frontend/serve/http_listener.h"
#include "frontend/serve/http_message.h"
#include "frontend/serve/status_page.h"
#include "proto/oip/route.h"

namespace parm {
namespace {

/// A scraper sends no bodies and keeps few connections.
constexpr size_t kMaxConnections = 64;
constexpr size_t kMaxBodyBytes = 1024;

class MetricsHandler final : public HttpHandler {
 public:
  explicit MetricsHandler(QueryService* service) : service_(service) {}

  uint64_t Handle(HttpRequest request, ReplySlot slot) override {
    slot.Send(Answer(request));
    return 0;
  }
  void Abandon(uint64_t) override {}

 private:
  HttpReply Answer(const HttpRequest& request) {
    const bool page = IsRoot(request.target);
    if (!page &&
        oip::ParseTarget(request.target).endpoint != Endpoint::kMetrics) {
      return ErrorReply(Endpoint::kOther, 404, "Not Found");
    }
    if (request.method != HttpMethod::kGet &&
        request.method != HttpMethod::kHead) {
      HttpReply reply =
          ErrorReply(Endpoint::kMetrics, 405, "Method Not Allowed");
      reply.headers = "Allow: GET, HEAD\r\n";
      return reply;
    }
    HttpReply reply{.endpoint = Endpoint::kMetrics,
                    .content_type = "text/plain; version=0.0.4; charset=utf-8"};
    reply.body.json = service_->MetricsText();
    if (page) {
      reply.content_type = "text/html; charset=utf-8";
      reply.body.json = status_page_.Render(reply.body.json,
                                            std::chrono::steady_clock::now());
    }
    return reply;
  }

  static bool IsRoot(absl::string_view target) {
    return target.substr(0, target.find('?')) == "/";
  }

  QueryService* const service_;
  StatusPage status_page_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Create(
    boost::asio::io_context& io, const std::string& address, uint16_t port,
    QueryService* service) {
  auto handler = std::make_unique<MetricsHandler>(service);
  PARM_ASSIGN_OR_RETURN(
      std::unique_ptr<HttpListener> listener,
      HttpListener::Create(io,
                           {.address = address,
                            .port = port,
                            .max_connections = kMaxConnections,
                            .max_pipelined = 1,
                            .max_body_bytes = kMaxBodyBytes},
                           handler.get()));
  return std::unique_ptr<MetricsServer>(
      new MetricsServer(std::move(handler), std::move(listener)));
}

MetricsServer::MetricsServer(std::unique_ptr<HttpHandler> handler,
                             std::unique_ptr<HttpListener> listener)
    : handler_(std::move(handler)), listener_(std::move(listener)) {}

MetricsServer::~MetricsServer() = default;

uint16_t MetricsServer::port() const { return listener_->port(); }

}  // namespace parm
