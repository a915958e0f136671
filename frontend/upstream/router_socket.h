#pragma once

// The ZeroMQ ROUTER socket that a frontend talks to its workers with, and the
// monitor that tells of its connections. ZmqUpstream decides what is said on
// it; nothing here knows a worker.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "frontend/upstream/zmq_frame.h"
#include "proto/curve_keys.h"

namespace parm {

struct RouterSocketOptions {
  /// Messages queued for one peer.
  int high_water_mark = 80;
  /// A larger frame from a peer ends its connection.
  int64_t max_message_bytes = 0;
  /// Our CURVE keys; empty: connections are in the clear.
  CurveKeys keys;
};

/// What became of one connection.
struct ConnectionEvent {
  enum class Kind { kConnected, kEnded, kRefused };
  Kind kind = Kind::kEnded;
  int descriptor = -1;  // names it; -1 if refused
  /// Refused: the two sides do not understand or know each other, or it broke
  /// before they did.
  std::string endpoint;  // numeric
  std::string why;
  bool broke = false;  // the last of these
};

/// Threads: one.
class RouterSocket {
 public:
  ~RouterSocket();
  RouterSocket(const RouterSocket&) = delete;
  RouterSocket& operator=(const RouterSocket&) = delete;

  /// Errors: kInternal in ZeroMQ's words.
  static absl::StatusOr<std::unique_ptr<RouterSocket>> Open(
      const RouterSocketOptions& options);

  /// Begins a connection; libzmq retries until it stands. With keys of our own
  /// `server_key` is the peer's public one. Both sides' ids must
  /// be new: libzmq must not see the old one again before its pipe has ended,
  /// and a peer that still holds the old connection would ignore a second of
  /// the same name.
  /// Errors: kInvalidArgument for an endpoint that it cannot connect to;
  /// kInternal.
  absl::Status Connect(const std::string& endpoint, absl::string_view peer_id,
                       absl::string_view own_id,
                       const std::string& server_key = "");

  /// Ends it, with all that is queued in it.
  void Disconnect(const std::string& endpoint);

  /// Queues one message without waiting.
  /// Errors: kResourceExhausted if the peer's queue is full; kUnavailable if
  /// there is no connection of this id. Nothing is queued then.
  absl::Status Send(absl::string_view peer_id, absl::Span<ZmqFrame> frames);

  /// As ReceiveFrames.
  bool Receive(size_t max_frames, std::vector<ZmqFrame>* frames,
               bool* truncated);

  /// What became of a connection since the last call; nullopt: nothing more.
  std::optional<ConnectionEvent> NextEvent();

  /// For watchers, which must not outlive this.
  void* router() { return router_.get(); }
  void* monitor() { return monitor_.get(); }

 private:
  struct CloseContext {
    void operator()(void* context) const;
  };
  struct CloseSocket {
    void operator()(void* socket) const;
  };

  RouterSocket() = default;
  absl::Status SetUp(const RouterSocketOptions& options);

  std::unique_ptr<void, CloseContext> context_;  // Ends after its sockets.
  std::unique_ptr<void, CloseSocket> router_;
  std::unique_ptr<void, CloseSocket> monitor_;
};

}  // namespace parm
