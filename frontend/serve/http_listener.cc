#include "frontend/serve/http_listener.h"

#include <algorithm>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/wait_traits.hpp>
#include <chrono>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "frontend/serve/http_connection.h"

namespace parm {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;
using Executor = asio::io_context::executor_type;

/// Timeouts are late by at most this.
constexpr Duration kLongestTick = Milliseconds(250);
constexpr Duration kShortestTick = Milliseconds(5);

absl::Status CheckOptions(const HttpOptions& options) {
  if (options.max_connections < 1 || options.max_pipelined < 1 ||
      options.max_header_bytes < 256 || options.max_body_bytes < 1 ||
      options.max_json_bytes < 1 || options.max_decompressed_bytes < 1 ||
      options.handshake_timeout <= Duration::zero() ||
      options.idle_timeout <= Duration::zero() ||
      options.read_timeout <= Duration::zero() ||
      options.write_timeout <= Duration::zero()) {
    return absl::InvalidArgumentError(
        "HTTP limits and timeouts must be positive, max_header_bytes at least "
        "256");
  }
  return absl::OkStatus();
}

/// One timer serves all connections, so that a request sets none.
Duration TickOf(const HttpOptions& options) {
  const Duration shortest =
      std::min({options.idle_timeout, options.read_timeout,
                options.write_timeout, options.handshake_timeout});
  return std::clamp(shortest / 8, kShortestTick, kLongestTick);
}

}  // namespace

class HttpListener::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(asio::io_context& io, const HttpOptions& options, HttpHandler* handler)
      : options_(options),
        io_(io),
        acceptor_(io),
        timer_(io),
        tick_(TickOf(options)),
        state_{.options = options_,
               .handler = handler,
               .counters = &counters_,
               .now = Clock::now(),
               .on_closed = [this](HttpConnection* connection) {
                 Forget(connection);
               }} {}

  absl::Status UseTls(const TlsIdentity& identity);
  absl::Status Listen();
  void Accept();
  void ScheduleTick();
  void StopAccepting();
  void Drain(std::function<void()> done);
  void Shutdown();

  uint16_t port() const { return port_; }
  HttpCounters& counters() { return counters_; }

 private:
  void OnAccept(error_code error, LoopSocket socket);
  void Admit(LoopSocket socket);
  void RefuseConnection(LoopSocket socket);
  void OnTick();
  void Forget(HttpConnection* connection);
  void ReportDrained();
  /// A copy, as closing a connection changes the map.
  std::vector<std::shared_ptr<HttpConnection>> Connections() const;

  const HttpOptions options_;
  asio::io_context& io_;
  asio::basic_socket_acceptor<tcp, Executor> acceptor_;
  asio::basic_waitable_timer<Clock, asio::wait_traits<Clock>, Executor> timer_;
  const Duration tick_;
  std::shared_ptr<const TlsContext> tls_;  // null: plain
  HttpCounters counters_;
  ListenerState state_;
  std::unordered_map<HttpConnection*, std::shared_ptr<HttpConnection>>
      connections_;
  std::function<void()> on_drained_;
  uint16_t port_ = 0;
  bool accept_failed_ = false;
};

absl::Status HttpListener::Impl::UseTls(const TlsIdentity& identity) {
  PARM_ASSIGN_OR_RETURN(tls_, TlsContext::Create(identity));
  return absl::OkStatus();
}

absl::Status HttpListener::Impl::Listen() {
  error_code error;
  const asio::ip::address address =
      asio::ip::make_address(options_.address, error);
  if (error) {
    return absl::InvalidArgumentError(
        absl::StrCat("the address to listen on must be an IP address: got '",
                     options_.address, "'"));
  }
  const tcp::endpoint endpoint(address, options_.port);
  acceptor_.open(endpoint.protocol(), error);
  if (!error) {
    acceptor_.set_option(asio::socket_base::reuse_address(true), error);
  }
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) {
    acceptor_.listen(asio::socket_base::max_listen_connections, error);
  }
  if (error) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot listen: got '", error.message(), "', want ",
                     options_.address, ":", options_.port));
  }
  port_ = acceptor_.local_endpoint(error).port();
  return absl::OkStatus();
}

void HttpListener::Impl::Accept() {
  acceptor_.async_accept(
      io_.get_executor(),
      [weak = weak_from_this()](error_code error, LoopSocket socket) {
        if (const auto self = weak.lock()) {
          self->OnAccept(error, std::move(socket));
        }
      });
}

void HttpListener::Impl::OnAccept(error_code error, LoopSocket socket) {
  if (!acceptor_.is_open()) return;
  if (error) {
    ++counters_.accept_errors;
    // Out of descriptors, for one: the next tick tries again, not this loop.
    accept_failed_ = true;
    return;
  }
  Admit(std::move(socket));
  Accept();
}

void HttpListener::Impl::Admit(LoopSocket socket) {
  ++counters_.connections_accepted;
  if (connections_.size() >= options_.max_connections) {
    ++counters_.connections_refused;
    RefuseConnection(std::move(socket));
  } else {
    ++counters_.connections_open;
    auto connection =
        std::make_shared<HttpConnection>(std::move(socket), tls_, &state_);
    connections_.emplace(connection.get(), connection);
    connection->Start();
  }
}

void HttpListener::Impl::RefuseConnection(LoopSocket socket) {
  // Over TLS a sentence would take a handshake: too much for one too many.
  if (tls_ != nullptr) return;
  HttpReply reply =
      ErrorReply(Endpoint::kOther, 503, "too many connections are open");
  reply.headers = "Retry-After: 1\r\n";
  std::string text;
  AppendReplyHead(reply, 11, /*close=*/true, &text);
  text += reply.body.json;
  error_code ignored;
  socket.non_blocking(true, ignored);
  socket.write_some(asio::buffer(text), ignored);
  ++counters_.replies[static_cast<size_t>(Endpoint::kOther)][5];
}

void HttpListener::Impl::ScheduleTick() {
  timer_.expires_after(tick_);
  timer_.async_wait([weak = weak_from_this()](error_code error) {
    const auto self = weak.lock();
    if (self == nullptr || error) return;
    self->OnTick();
  });
}

void HttpListener::Impl::OnTick() {
  state_.now = Clock::now();
  for (const auto& connection : Connections()) {
    if (!connection->closed()) connection->Tick();
  }
  if (std::exchange(accept_failed_, false) && acceptor_.is_open()) Accept();
  ScheduleTick();
}

std::vector<std::shared_ptr<HttpConnection>> HttpListener::Impl::Connections()
    const {
  std::vector<std::shared_ptr<HttpConnection>> all;
  all.reserve(connections_.size());
  for (const auto& [key, connection] : connections_) all.push_back(connection);
  return all;
}

void HttpListener::Impl::Forget(HttpConnection* connection) {
  connections_.erase(connection);
  if (connections_.empty()) ReportDrained();
}

void HttpListener::Impl::StopAccepting() {
  if (!acceptor_.is_open()) return;
  // Whom the system has told that he is connected must not be reset.
  error_code error;
  acceptor_.non_blocking(true, error);
  for (size_t i = 0; !error && i < options_.max_connections; ++i) {
    LoopSocket socket(io_.get_executor());
    acceptor_.accept(socket, error);
    if (!error) Admit(std::move(socket));
  }
  acceptor_.close(error);
}

void HttpListener::Impl::Drain(std::function<void()> done) {
  StopAccepting();
  on_drained_ = std::move(done);
  for (const auto& connection : Connections()) connection->BeginDrain();
  if (connections_.empty()) ReportDrained();
}

void HttpListener::Impl::ReportDrained() {
  if (on_drained_ == nullptr) return;
  timer_.cancel();
  asio::post(io_, std::exchange(on_drained_, nullptr));
}

void HttpListener::Impl::Shutdown() {
  error_code ignored;
  acceptor_.close(ignored);
  on_drained_ = nullptr;
  for (const auto& connection : Connections()) connection->Close();
  timer_.cancel();
}

absl::StatusOr<std::unique_ptr<HttpListener>> HttpListener::Create(
    boost::asio::io_context& io, const HttpOptions& options,
    HttpHandler* handler) {
  PARM_RETURN_IF_ERROR(CheckOptions(options));
  auto impl = std::make_shared<Impl>(io, options, handler);
  if (options.tls) PARM_RETURN_IF_ERROR(impl->UseTls(*options.tls));
  PARM_RETURN_IF_ERROR(impl->Listen());
  impl->Accept();
  impl->ScheduleTick();
  return std::unique_ptr<HttpListener>(new HttpListener(std::move(impl)));
}

HttpListener::HttpListener(std::shared_ptr<Impl> impl)
    : impl_(std::move(impl)) {}

HttpListener::~HttpListener() { impl_->Shutdown(); }

uint16_t HttpListener::port() const { return impl_->port(); }

const HttpCounters& HttpListener::counters() const { return impl_->counters(); }

HttpCounters& HttpListener::counters() { return impl_->counters(); }

absl::Status HttpListener::UseTls(const TlsIdentity& identity) {
  return impl_->UseTls(identity);
}

void HttpListener::StopAccepting() { impl_->StopAccepting(); }

void HttpListener::Drain(std::function<void()> done) {
  impl_->Drain(std::move(done));
}

}  // namespace parm
