#include "frontend/upstream/oip/server_connections.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace parm {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;
using Executor = asio::io_context::executor_type;

ExchangeEnd EndOf(const absl::Status& status) {
  return status.code() == absl::StatusCode::kResourceExhausted
             ? ExchangeEnd::kTooLarge
             : ExchangeEnd::kMalformed;
}

}  // namespace

// A read is always under way once it is connected: between exchanges it tells
// that the server has closed, and it is there when the reply comes.
class ServerConnections::Connection
    : public std::enable_shared_from_this<Connection> {
 public:
  Connection(ServerConnections* pool)
      : pool_(pool),
        socket_(pool->loop_),
        resolver_(pool->loop_),
        reader_(pool->options_.limits) {}

  void Connect();
  void Begin(uint64_t id, ServerRequest request, Time give_up, Done done);
  void Drop();
  void Close();
  void Sweep(Time now);
  /// Of one that waits: when its last reply had come.
  Time heard() const { return heard_; }

 private:
  void OnConnected(error_code error);
  void Write();
  void StartRead();
  void OnRead(error_code error, size_t size);
  void OnUnasked(error_code error);
  void OnReply();
  void OnBroken(const absl::Status& status);
  // Ends the exchange; the connection waits for the next one if it can.
  void End(ExchangeResult result, bool reusable);

  ServerConnections* pool_;  // null: closed
  asio::basic_stream_socket<tcp, Executor> socket_;
  asio::ip::basic_resolver<tcp, Executor> resolver_;
  ServerReplyReader reader_;
  bool connected_ = false;
  Time connect_by_{};
  uint64_t num_exchanges_ = 0;
  Time heard_{};

  // Of the exchange under way.
  bool busy_ = false;
  uint64_t id_ = 0;
  ServerRequest request_;
  std::vector<asio::const_buffer> pieces_;
  Time begun_{};
  Time give_up_{};
  Done done_;
  bool writing_ = false;
  bool resent_ = false;
  bool dropped_ = false;
  size_t drained_ = 0;
};

void ServerConnections::Connection::Connect() {
  ++pool_->counters_->opened;
  connect_by_ = Clock::now() + pool_->options_.connect_timeout;
  const auto connect = [this](const tcp::resolver::results_type& found) {
    asio::async_connect(
        socket_, found,
        [self = shared_from_this()](error_code error, const tcp::endpoint&) {
          self->OnConnected(error);
        });
  };
  error_code error;
  const asio::ip::address address =
      asio::ip::make_address(pool_->options_.host, error);
  const std::string port = absl::StrCat(pool_->options_.port);
  if (!error) {
    return connect(tcp::resolver::results_type::create(
        tcp::endpoint(address, pool_->options_.port), pool_->options_.host,
        port));
  }
  resolver_.async_resolve(
      pool_->options_.host, port,
      [self = shared_from_this(), connect](
          error_code failed, const tcp::resolver::results_type& found) {
        if (self->pool_ == nullptr) return;
        if (failed) return self->OnConnected(failed);
        connect(found);
      });
}

void ServerConnections::Connection::OnConnected(error_code error) {
  if (pool_ == nullptr) return;
  if (error) {
    return End(
        {.end = dropped_ ? ExchangeEnd::kDropped : ExchangeEnd::kNotConnected,
         .error = absl::StrCat("cannot connect: ", error.message())},
        /*reusable=*/false);
  }
  connected_ = true;
  error_code ignored;
  socket_.non_blocking(true, ignored);
  socket_.set_option(tcp::no_delay(true), ignored);
  StartRead();
  // Withdrawn before it was sent: the one case that costs the server nothing.
  if (dropped_) return End({.end = ExchangeEnd::kDropped}, /*reusable=*/true);
  Write();
}

void ServerConnections::Connection::Begin(uint64_t id, ServerRequest request,
                                          Time give_up, Done done) {
  if (num_exchanges_++ > 0) ++pool_->counters_->reused;
  busy_ = true;
  id_ = id;
  request_ = std::move(request);
  begun_ = Clock::now();
  give_up_ = give_up;
  done_ = std::move(done);
  writing_ = dropped_ = resent_ = false;
  drained_ = 0;
  if (connected_) Write();
}

void ServerConnections::Connection::Write() {
  pieces_.clear();
  pieces_.push_back(asio::buffer(request_.head));
  pieces_.push_back(asio::buffer(request_.json));
  for (const Buffer& tensor : request_.tensors) {
    pieces_.emplace_back(tensor.bytes().data(), tensor.size());
  }
  // What fits into the socket's buffer costs no round of the loop. An error is
  // left to the read, which may still find a reply that came first.
  error_code error;
  size_t written = socket_.write_some(pieces_, error);
  if (error && error != asio::error::would_block) return;
  while (!pieces_.empty() && written >= pieces_.front().size()) {
    written -= pieces_.front().size();
    pieces_.erase(pieces_.begin());
  }
  if (pieces_.empty()) return;
  pieces_.front() += written;
  writing_ = true;
  asio::async_write(socket_, pieces_,
                    [self = shared_from_this()](error_code failed, size_t) {
                      if (!failed) self->writing_ = false;
                    });
}

void ServerConnections::Connection::StartRead() {
  const absl::Span<std::byte> space = reader_.Space();
  socket_.async_read_some(
      asio::mutable_buffer(space.data(), space.size()),
      [self = shared_from_this()](error_code error, size_t size) {
        self->OnRead(error, size);
      });
}

void ServerConnections::Connection::OnRead(error_code error, size_t size) {
  if (pool_ == nullptr) return;
  if (!busy_) return OnUnasked(error);
  if (dropped_) drained_ += size;
  absl::Status status;
  if (error == asio::error::eof) {
    status = reader_.CommitEnd();
  } else if (error) {
    status = reader_.begun()
                 ? absl::DataLossError(absl::StrCat(
                       "the server's reply ended half-way: ", error.message()))
                 : absl::UnavailableError(
                       absl::StrCat("the connection broke: ", error.message()));
  } else {
    status = reader_.Commit(size);
  }
  if (!status.ok()) return OnBroken(status);
  if (reader_.done()) return OnReply();
  if (dropped_ &&
      drained_ + reader_.remaining() > pool_->options_.max_drained_bytes) {
    ++pool_->counters_->cut;
    return End({.end = ExchangeEnd::kDropped}, /*reusable=*/false);
  }
  StartRead();
}

// Between exchanges: the end, or bytes that nobody asked for.
void ServerConnections::Connection::OnUnasked(error_code /*error*/) {
  const auto self = shared_from_this();
  std::erase(pool_->idle_, self);
  ++pool_->counters_->closed_idle;
  const std::function<void()>& tell = pool_->on_closed_idle_;
  Close();
  tell();
}

void ServerConnections::Connection::OnReply() {
  const bool reusable = reader_.keep_alive() && !writing_;
  ServerReply reply = reader_.Take();
  if (reusable) StartRead();
  if (dropped_) {
    ++pool_->counters_->drained;
    return End({.end = ExchangeEnd::kDropped}, reusable);
  }
  End({.end = ExchangeEnd::kReplied, .reply = std::move(reply)}, reusable);
}

void ServerConnections::Connection::OnBroken(const absl::Status& status) {
  const bool nothing_came = status.code() == absl::StatusCode::kUnavailable;
  if (dropped_) {
    return End({.end = ExchangeEnd::kDropped}, /*reusable=*/false);
  }
  // A server may close a waiting connection just as we use it. It has not taken
  // the request then, and most inference may be asked twice anyhow.
  if (nothing_came && num_exchanges_ > 1 && !resent_ && !request_.once) {
    ++pool_->counters_->resent;
    ServerConnections* const pool = pool_;
    const uint64_t id = id_;
    pool->busy_.erase(id);
    const auto self = shared_from_this();
    Close();
    const std::shared_ptr<Connection> fresh = pool->Open();
    pool->busy_.emplace(id, fresh);
    fresh->Begin(id, std::move(request_), give_up_, std::move(done_));
    fresh->resent_ = true;
    return fresh->Connect();
  }
  End({.end = nothing_came ? ExchangeEnd::kBroken : EndOf(status),
       .error = std::string(status.message())},
      /*reusable=*/false);
}

void ServerConnections::Connection::End(ExchangeResult result, bool reusable) {
  const auto self = shared_from_this();
  ++pool_->counters_->exchanges[static_cast<size_t>(result.end)];
  pool_->busy_.erase(id_);
  busy_ = false;
  request_ = ServerRequest();
  const Done done = std::move(done_);
  if (reusable) {
    heard_ = Clock::now();
    pool_->idle_.push_back(self);
  } else {
    Close();
  }
  done(std::move(result));
}

void ServerConnections::Connection::Drop() { dropped_ = true; }

void ServerConnections::Connection::Close() {
  if (pool_ == nullptr) return;
  pool_ = nullptr;
  error_code ignored;
  resolver_.cancel();
  socket_.close(ignored);
}

void ServerConnections::Connection::Sweep(Time now) {
  // Another's end, just before, may have closed all.
  if (pool_ == nullptr || !busy_) return;
  if (!connected_ && now > connect_by_) {
    return End({.end = ExchangeEnd::kNotConnected,
                .error = "cannot connect: no answer in time"},
               /*reusable=*/false);
  }
  if (now <= give_up_) return;
  // They went the same way, which may lead nowhere any more: a new one shows.
  pool_->CloseUnheardSince(begun_);
  End({.end = dropped_ ? ExchangeEnd::kDropped : ExchangeEnd::kTimedOut,
       .error = "the server did not reply in time"},
      /*reusable=*/false);
}

ServerConnections::ServerConnections(boost::asio::io_context& loop,
                                     ServerConnectionsOptions options,
                                     std::function<void()> on_closed_idle,
                                     ConnectionCounters* counters)
    : options_(std::move(options)),
      loop_(loop),
      on_closed_idle_(std::move(on_closed_idle)),
      counters_(counters) {}

ServerConnections::~ServerConnections() { CloseAll(); }

std::shared_ptr<ServerConnections::Connection> ServerConnections::Open() {
  return std::make_shared<Connection>(this);
}

absl::StatusOr<uint64_t> ServerConnections::Ask(ServerRequest request,
                                                Time give_up, Done done) {
  std::shared_ptr<Connection> connection;
  bool fresh = false;
  if (!idle_.empty()) {
    connection = std::move(idle_.back());
    idle_.pop_back();
  } else if (busy_.size() < options_.max_connections) {
    connection = Open();
    fresh = true;
  } else {
    ++counters_->refused_full;
    return absl::ResourceExhaustedError(
        "all connections to the server are busy");
  }
  const uint64_t id = ++last_id_;
  busy_.emplace(id, connection);
  connection->Begin(id, std::move(request), give_up, std::move(done));
  if (fresh) connection->Connect();
  return id;
}

void ServerConnections::Drop(uint64_t exchange) {
  const auto found = busy_.find(exchange);
  if (found != busy_.end()) found->second->Drop();
}

void ServerConnections::CloseAll() {
  for (const auto& [id, connection] : busy_) connection->Close();
  for (const auto& connection : idle_) connection->Close();
  busy_.clear();
  idle_.clear();
}

void ServerConnections::CloseUnheardSince(Time time) {
  std::erase_if(idle_, [time](const std::shared_ptr<Connection>& connection) {
    if (connection->heard() >= time) return false;
    connection->Close();
    return true;
  });
}

void ServerConnections::Sweep(Time now) {
  // An end may begin another exchange: not in the map that is walked.
  std::vector<std::shared_ptr<Connection>> connections;
  connections.reserve(busy_.size());
  for (const auto& [id, connection] : busy_) connections.push_back(connection);
  for (const auto& connection : connections) connection->Sweep(now);
}

}  // namespace parm
