#pragma once

// The warm HTTP/1.1 connections to one model server. A connection carries one
// exchange (a request and its reply) at a time and waits for the next one
// afterwards, so that redundant copies never stand behind each other. It
// decides nothing: what a reply means is OipServer's, by way of HttpChannel.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "base/buffer.h"
#include "base/time.h"
#include "boost/asio/io_context.hpp"
#include "frontend/upstream/oip/server_channel.h"
#include "frontend/upstream/oip/server_reply_reader.h"

namespace parm {

/// A request with its head ready to be sent.
struct ServerRequest {
  std::string head;  // up to and with the empty line
  std::string json;
  std::vector<Buffer> tensors;
  bool once = false;  // never sent again: it changes what the server holds
};

struct ExchangeResult {
  ExchangeEnd end = ExchangeEnd::kReplied;
  std::string error;  // unless kReplied
  ServerReply reply;  // kReplied only
};

struct ServerConnectionsOptions {
  std::string host;  // a name is resolved at each connect
  uint16_t port = 8000;
  size_t max_connections = 34;
  Duration connect_timeout = Milliseconds(1000);
  ServerReplyLimits limits;
  /// Of a dropped exchange's reply: more than this is cut, which costs the
  /// connection.
  size_t max_drained_bytes = size_t{1} << 20;
};

/// Threads: the loop's only. `done` and the closed callback run on it, never
///          inside a call of this class but for Sweep.
/// Bound:   max_connections, one request each.
class ServerConnections {
 public:
  using Done = std::function<void(ExchangeResult)>;

  /// `on_closed_idle` tells that the server closed a waiting connection: often
  /// the first sign that it has ended. `counters` outlives this.
  ServerConnections(boost::asio::io_context& loop,
                    ServerConnectionsOptions options,
                    std::function<void()> on_closed_idle,
                    ConnectionCounters* counters);
  /// No callback runs afterwards.
  ~ServerConnections();
  ServerConnections(const ServerConnections&) = delete;
  ServerConnections& operator=(const ServerConnections&) = delete;

  /// Begins an exchange and returns its id. A request that meets a connection
  /// which the server has just closed is sent again, once, on a new one, unless
  /// it says `once`.
  /// Errors: kResourceExhausted if all connections are busy.
  absl::StatusOr<uint64_t> Ask(ServerRequest request, Time give_up, Done done);

  /// Nobody wants the reply: it is read to its end all the same, within
  /// max_drained_bytes, so that the connection lives on. `done` says kDropped.
  /// Unknown ids are ignored.
  void Drop(uint64_t exchange);

  /// Ends every connection; no `done` runs for what was under way.
  void CloseAll();

  /// Ends what was to be given up by `now`, and with it the connections that
  /// wait and were heard last before it began: a machine or a network may have
  /// swallowed them too, without a word. To be called every now and then.
  void Sweep(Time now);

  size_t num_busy() const { return busy_.size(); }
  size_t num_idle() const { return idle_.size(); }

 private:
  class Connection;
  friend class Connection;

  std::shared_ptr<Connection> Open();
  // Of those that wait.
  void CloseUnheardSince(Time time);

  const ServerConnectionsOptions options_;
  boost::asio::io_context& loop_;
  const std::function<void()> on_closed_idle_;
  ConnectionCounters* const counters_;
  uint64_t last_id_ = 0;
  std::unordered_map<uint64_t, std::shared_ptr<Connection>> busy_;
  std::vector<std::shared_ptr<Connection>> idle_;  // used last at the back
};

}  // namespace parm
