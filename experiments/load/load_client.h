#pragma once

// What the load generator sends with: requests by number to one server, and
// what becomes of each. HttpClient and GrpcClient are its two forms. Nothing
// here decides when to send.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/time.h"

namespace parm {

enum class LoadProtocol : uint8_t { kHttp, kGrpc };

struct LoadClientOptions {
  LoadProtocol protocol = LoadProtocol::kHttp;
  std::string host = "127.0.0.1";  // an address, not a name
  uint16_t port = 0;
  /// Opened before the first request, so that no query pays for a connect. Over
  /// gRPC there are no more: calls go to them in turns.
  int initial_connections = 16;
  /// Requests under way; over HTTP each on a connection of its own.
  int max_connections = 1024;
  /// From Send to the end of the reply.
  Duration reply_timeout = Milliseconds(5'000);
  uint64_t max_reply_bytes = uint64_t{64} << 20;
};

struct ServerReply {
  /// Empty for an answer; else the status and what the server says.
  std::string error;
  bool shed = false;   // it had no room: HTTP 503, gRPC UNAVAILABLE
  std::string source;  // x-parm-source; empty if absent
  std::optional<size_t> json_bytes;  // Inference-Header-Content-Length
  std::string body;
};

/// Threads: everything on one; callbacks come from inside RunUntil and Poll,
/// OnSent also from inside Send.
class LoadClient {
 public:
  /// A request, by a number that the caller chose.
  using Token = uint64_t;

  class Listener {
   public:
    virtual ~Listener() = default;
    /// The first bytes are with the kernel (over gRPC: the call is with the
    /// library). At most once per request.
    virtual void OnSent(Token token, Time now) = 0;
    /// Then exactly one of these; `now` is when it happened.
    virtual void OnReply(Token token, Time now, ServerReply reply) = 0;
    /// Why: kUnavailable (refused, reset, closed), kDeadlineExceeded,
    /// kDataLoss (not HTTP, or too large). The gRPC library cannot tell the
    /// first and the last from a server that says so: those are replies.
    virtual void OnNoReply(Token token, Time now, const absl::Status& why) = 0;
  };

  virtual ~LoadClient() = default;

  /// Opens the initial connections. False if one of them cannot be opened
  /// before `until`.
  virtual bool Connect(Time until) = 0;

  /// Sends `head` followed by `body`: over HTTP a whole request (request line,
  /// headers, blank line, body), over gRPC a ModelInferRequest. Both must stay
  /// until the client ends. False, without a callback, if max_connections are
  /// busy.
  virtual bool Send(Token token, absl::string_view head,
                    absl::string_view body) = 0;

  /// Requests that have had neither OnReply nor OnNoReply.
  virtual int num_in_flight() const = 0;

  /// Waits for something to happen and handles it. Returns by `until`, and
  /// every few milliseconds anyway.
  virtual void RunUntil(Time until) = 0;
  /// Handles what has happened already.
  virtual void Poll() = 0;
};

}  // namespace parm
