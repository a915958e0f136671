#include "experiments/load/http_client.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "boost/asio/buffer.hpp"
#include "boost/asio/io_context.hpp"
#include "boost/asio/ip/tcp.hpp"
#include "boost/asio/steady_timer.hpp"
#include "boost/asio/write.hpp"
#include "boost/beast/core/flat_buffer.hpp"
#include "boost/beast/http/parser.hpp"
#include "boost/beast/http/string_body.hpp"

namespace parm {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

constexpr size_t kReadBytes = 16384;
/// Of what a server says with an error.
constexpr size_t kMaxErrorBytes = 300;
/// Well under the idle time after which servers close: a request never meets a
/// connection that is just being closed.
constexpr Duration kMaxIdle = Milliseconds(10'000);
/// How often requests are looked at for their timeout.
constexpr Duration kSweepInterval = Milliseconds(20);

absl::string_view ToAbsl(boost::beast::string_view text) {
  return {text.data(), text.size()};
}

}  // namespace

class HttpClient::Pool {
 public:
  Pool(const LoadClientOptions& options, asio::ip::tcp::endpoint endpoint,
       Listener* listener)
      : options_(options), endpoint_(endpoint), listener_(listener) {}
  ~Pool() {
    // Ends what is pending; its handlers find their connection closed.
    listener_ = nullptr;
    for (auto& connection : connections_) {
      if (connection != nullptr) Close(*connection);
    }
    context_.restart();
    context_.poll();
  }

  bool Connect(Time until);
  bool Send(Token token, absl::string_view head, absl::string_view body);
  void RunUntil(Time until);
  void Poll();
  int num_in_flight() const { return num_in_flight_; }

 private:
  enum class State : uint8_t { kConnecting, kIdle, kBusy, kClosed };

  struct Connection {
    explicit Connection(asio::io_context& context) : socket(context) {}

    asio::ip::tcp::socket socket;
    State state = State::kConnecting;
    size_t index = 0;
    Time idle_since{};
    // The request it carries, or is to carry once connected.
    bool has_request = false;
    bool writing = false;  // some of it is still to go
    Token token = 0;
    Time started{};
    absl::string_view head;
    absl::string_view body;
    // The reply so far.
    boost::beast::flat_buffer input;
    std::optional<http::response_parser<http::string_body>> parser;
  };
  using ConnectionPtr = std::shared_ptr<Connection>;

  ConnectionPtr Open();
  ConnectionPtr TakeIdle();
  void Write(const ConnectionPtr& connection);
  void Read(const ConnectionPtr& connection);
  void OnBytes(const ConnectionPtr& connection);
  void Finish(Connection& connection);
  void Fail(Connection& connection, const absl::Status& why);
  void Close(Connection& connection);
  void Sweep(Time now);

  const LoadClientOptions options_;
  const asio::ip::tcp::endpoint endpoint_;
  Listener* listener_;
  // One thread, so the context's own locks can go.
  asio::io_context context_{BOOST_ASIO_CONCURRENCY_HINT_UNSAFE};
  asio::steady_timer timer_{context_};
  bool timer_pending_ = false;
  std::vector<ConnectionPtr> connections_;  // null: a free place
  std::vector<size_t> free_places_;
  std::vector<ConnectionPtr> idle_;  // the one used last is taken first
  int num_connecting_ = 0;
  int num_open_ = 0;
  int num_in_flight_ = 0;
  Time next_sweep_{};
};

HttpClient::Pool::ConnectionPtr HttpClient::Pool::Open() {
  size_t place = connections_.size();
  if (free_places_.empty()) {
    connections_.emplace_back();
  } else {
    place = free_places_.back();
    free_places_.pop_back();
  }
  // Shared with the handlers that are pending on its socket.
  auto connection = std::make_shared<Connection>(context_);
  connection->index = place;
  connections_[place] = connection;
  ++num_open_;
  ++num_connecting_;
  connection->socket.async_connect(
      endpoint_, [this, connection](error_code error) {
        --num_connecting_;
        if (connection->state == State::kClosed) return;
        if (error) {
          Fail(*connection, absl::UnavailableError(absl::StrCat(
                                "cannot connect: ", error.message())));
          return;
        }
        error_code ignored;
        connection->socket.set_option(asio::ip::tcp::no_delay(true), ignored);
        connection->socket.non_blocking(true, ignored);
        Read(connection);
        if (connection->has_request) {
          connection->state = State::kBusy;
          Write(connection);
        } else {
          connection->state = State::kIdle;
          connection->idle_since = Clock::now();
          idle_.push_back(connection);
        }
      });
  return connection;
}

bool HttpClient::Pool::Connect(Time until) {
  for (int i = 0; i < options_.initial_connections; ++i) Open();
  while (num_connecting_ > 0 && Clock::now() < until) RunUntil(until);
  return static_cast<int>(idle_.size()) >= options_.initial_connections;
}

HttpClient::Pool::ConnectionPtr HttpClient::Pool::TakeIdle() {
  while (!idle_.empty()) {
    ConnectionPtr connection = std::move(idle_.back());
    idle_.pop_back();
    if (connection->state != State::kIdle) continue;  // closed by the server
    if (Clock::now() - connection->idle_since <= kMaxIdle) return connection;
    Close(*connection);
  }
  return nullptr;
}

bool HttpClient::Pool::Send(Token token, absl::string_view head,
                            absl::string_view body) {
  ConnectionPtr connection = TakeIdle();
  if (connection == nullptr) {
    if (num_open_ >= options_.max_connections) return false;
    connection = Open();
  }
  ++num_in_flight_;
  connection->has_request = true;
  connection->token = token;
  connection->started = Clock::now();
  connection->head = head;
  connection->body = body;
  if (connection->state == State::kIdle) {
    connection->state = State::kBusy;
    Write(connection);
  }
  return true;
}

void HttpClient::Pool::Write(const ConnectionPtr& connection) {
  connection->parser.emplace();
  connection->parser->eager(true);
  connection->parser->body_limit(options_.max_reply_bytes);
  const std::array<asio::const_buffer, 2> request = {
      asio::buffer(connection->head.data(), connection->head.size()),
      asio::buffer(connection->body.data(), connection->body.size())};
  error_code error;
  const size_t written = connection->socket.write_some(request, error);
  if (error && error != asio::error::would_block) {
    // Not from inside Send: the caller is not ready for the callback.
    asio::post(context_, [this, connection, error] {
      if (connection->state != State::kBusy) return;
      Fail(*connection, absl::UnavailableError(
                            absl::StrCat("cannot send: ", error.message())));
    });
    return;
  }
  listener_->OnSent(connection->token, Clock::now());
  const size_t total = connection->head.size() + connection->body.size();
  if (written == total) return;
  // Larger than the socket's buffer: the kernel takes the rest when it can.
  std::array<asio::const_buffer, 2> rest = request;
  const size_t from_head = std::min(written, connection->head.size());
  rest[0] += from_head;
  rest[1] += written - from_head;
  connection->writing = true;
  asio::async_write(connection->socket, rest,
                    [this, connection](error_code write_error, size_t) {
                      connection->writing = false;
                      if (!write_error || connection->state != State::kBusy) {
                        return;
                      }
                      Fail(*connection,
                           absl::UnavailableError(absl::StrCat(
                               "cannot send: ", write_error.message())));
                    });
}

// A read is pending for as long as the connection is open, so a server that
// closes an idle one is noticed.
void HttpClient::Pool::Read(const ConnectionPtr& connection) {
  connection->socket.async_read_some(
      connection->input.prepare(kReadBytes),
      [this, connection](error_code error, size_t num_bytes) {
        if (connection->state == State::kClosed) return;
        if (error) {
          Fail(*connection, absl::UnavailableError(absl::StrCat(
                                "connection ended: ", error.message())));
          return;
        }
        connection->input.commit(num_bytes);
        OnBytes(connection);
        if (connection->state != State::kClosed) Read(connection);
      });
}

void HttpClient::Pool::OnBytes(const ConnectionPtr& connection) {
  if (!connection->has_request || !connection->parser.has_value()) {
    Fail(*connection, absl::DataLossError("bytes that nobody asked for"));
    return;
  }
  while (connection->input.size() > 0 && !connection->parser->is_done()) {
    error_code error;
    const size_t used =
        connection->parser->put(connection->input.data(), error);
    connection->input.consume(used);
    if (error == http::error::need_more) return;
    if (error) {
      Fail(*connection, absl::DataLossError(absl::StrCat("not an HTTP reply: ",
                                                         error.message())));
      return;
    }
  }
  if (connection->parser->is_done()) Finish(*connection);
}

void HttpClient::Pool::Finish(Connection& connection) {
  const Time now = Clock::now();
  auto message = connection.parser->release();
  connection.parser.reset();
  ServerReply reply{.shed =
                        message.result() == http::status::service_unavailable};
  if (message.result() != http::status::ok) {
    reply.error = absl::StrCat(
        "HTTP ", message.result_int(), ": ",
        absl::string_view(message.body()).substr(0, kMaxErrorBytes));
  }
  reply.source = std::string(ToAbsl(message["x-parm-source"]));
  uint64_t json_bytes = 0;
  if (absl::SimpleAtoi(ToAbsl(message["Inference-Header-Content-Length"]),
                       &json_bytes)) {
    reply.json_bytes = json_bytes;
  }
  reply.body = std::move(message.body());
  const Token token = connection.token;
  connection.has_request = false;
  --num_in_flight_;
  // After a reply to half a request the next one would go into its middle.
  if (message.keep_alive() && !connection.writing) {
    connection.state = State::kIdle;
    connection.idle_since = now;
    idle_.push_back(connections_[connection.index]);
  } else {
    Close(connection);
  }
  listener_->OnReply(token, now, std::move(reply));
}

void HttpClient::Pool::Fail(Connection& connection, const absl::Status& why) {
  const bool had_request = std::exchange(connection.has_request, false);
  Close(connection);
  if (!had_request || listener_ == nullptr) return;
  --num_in_flight_;
  listener_->OnNoReply(connection.token, Clock::now(), why);
}

void HttpClient::Pool::Close(Connection& connection) {
  if (connection.state == State::kClosed) return;
  connection.state = State::kClosed;
  error_code ignored;
  connection.socket.close(ignored);
  --num_open_;
  free_places_.push_back(connection.index);
  // A handler or the caller still holds the connection.
  connections_[connection.index].reset();
}

void HttpClient::Pool::Sweep(Time now) {
  if (now < next_sweep_) return;
  next_sweep_ = now + kSweepInterval;
  for (size_t i = 0; i < connections_.size(); ++i) {
    const ConnectionPtr connection = connections_[i];
    if (connection == nullptr || !connection->has_request) continue;
    if (now - connection->started < options_.reply_timeout) continue;
    Fail(*connection, absl::DeadlineExceededError("no reply in time"));
  }
}

void HttpClient::Pool::RunUntil(Time until) {
  const Time now = Clock::now();
  Sweep(now);
  if (until <= now) {
    Poll();
    return;
  }
  until = std::min(until, next_sweep_);
  // timerfd wakes to the microsecond; epoll's own timeout is in milliseconds.
  if (!timer_pending_ || timer_.expiry() != until) {
    timer_.expires_at(until);
    timer_pending_ = true;
    timer_.async_wait([this](error_code error) {
      if (!error) timer_pending_ = false;
    });
  }
  context_.restart();
  context_.run_one();
  context_.poll();
}

void HttpClient::Pool::Poll() {
  Sweep(Clock::now());
  context_.restart();
  context_.poll();
}

HttpClient::HttpClient(std::unique_ptr<Pool> pool) : pool_(std::move(pool)) {}
HttpClient::~HttpClient() = default;

absl::StatusOr<std::unique_ptr<HttpClient>> HttpClient::Create(
    const LoadClientOptions& options, Listener* listener) {
  error_code error;
  const auto address = asio::ip::make_address(options.host, error);
  if (error) {
    return absl::InvalidArgumentError(absl::StrCat(
        "host: got ", options.host, ", want an IPv4 or IPv6 address"));
  }
  return std::unique_ptr<HttpClient>(new HttpClient(std::make_unique<Pool>(
      options, asio::ip::tcp::endpoint(address, options.port), listener)));
}

bool HttpClient::Connect(Time until) { return pool_->Connect(until); }
bool HttpClient::Send(Token token, absl::string_view head,
                      absl::string_view body) {
  return pool_->Send(token, head, body);
}
int HttpClient::num_in_flight() const { return pool_->num_in_flight(); }
void HttpClient::RunUntil(Time until) { pool_->RunUntil(until); }
void HttpClient::Poll() { pool_->Poll(); }

std::string HostHeader(const LoadClientOptions& options) {
  return absl::StrContains(options.host, ':')
             ? absl::StrCat("[", options.host, "]:", options.port)
             : absl::StrCat(options.host, ":", options.port);
}

absl::StatusOr<ServerReply> HttpGet(const LoadClientOptions& options,
                                    absl::string_view target) {
  struct One : HttpClient::Listener {
    void OnSent(HttpClient::Token, Time) override {}
    void OnReply(HttpClient::Token, Time, ServerReply got) override {
      reply = std::move(got);
    }
    void OnNoReply(HttpClient::Token, Time, const absl::Status& why) override {
      reply = why;
    }
    std::optional<absl::StatusOr<ServerReply>> reply;
  } one;
  PARM_ASSIGN_OR_RETURN(const std::unique_ptr<HttpClient> client,
                        HttpClient::Create(options, &one));
  const std::string head = absl::StrCat(
      "GET ", target, " HTTP/1.1\r\nHost: ", HostHeader(options), "\r\n\r\n");
  client->Send(0, head, "");
  while (!one.reply.has_value()) {
    client->RunUntil(Clock::now() + kSweepInterval);
  }
  return *std::move(one.reply);
}

}  // namespace parm
