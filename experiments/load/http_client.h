#pragma once

// The load generator's sockets: a bounded pool of keep-alive HTTP/1.1
// connections to one server, one request at a time on each, driven by the one
// thread that also sends on schedule. Nothing here decides when to send.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/time.h"

namespace parm {

struct HttpReply {
  int status = 0;
  std::string source;                // x-parm-source; empty if absent
  std::optional<size_t> json_bytes;  // Inference-Header-Content-Length
  std::string body;
};

struct HttpClientOptions {
  std::string host = "127.0.0.1";  // an address, not a name
  uint16_t port = 0;
  /// Opened before the first request, so that no query pays for a connect.
  int initial_connections = 16;
  int max_connections = 1024;
  /// From HttpClient::Send to the end of the reply.
  Duration reply_timeout = Milliseconds(5'000);
  uint64_t max_reply_bytes = uint64_t{64} << 20;
};

/// Threads: everything on one; callbacks come from inside RunUntil and Poll,
/// OnSent also from inside Send.
class HttpClient {
 public:
  /// A request, by a number that the caller chose.
  using Token = uint64_t;

  class Listener {
   public:
    virtual ~Listener() = default;
    /// The first bytes are with the kernel. At most once per request.
    virtual void OnSent(Token token, Time now) = 0;
    /// Then exactly one of these.
    virtual void OnReply(Token token, Time now, HttpReply reply) = 0;
    /// Why: kUnavailable (refused, reset, closed), kDeadlineExceeded,
    /// kDataLoss (not HTTP, or too large).
    virtual void OnNoReply(Token token, Time now, const absl::Status& why) = 0;
  };

  /// `listener` must outlive the client.
  /// Errors: kInvalidArgument for a host that is no address.
  static absl::StatusOr<std::unique_ptr<HttpClient>> Create(
      const HttpClientOptions& options, Listener* listener);
  ~HttpClient();

  /// Opens the initial connections. False if one of them cannot be opened
  /// before `until`.
  bool Connect(Time until);

  /// Sends `head` (request line, headers, blank line, start of the body)
  /// followed by `body`, on an idle connection or a further one. Both must stay
  /// until the request is over. False, without a callback, if max_connections
  /// are busy.
  bool Send(Token token, absl::string_view head, absl::string_view body);

  /// Requests that have had neither OnReply nor OnNoReply.
  int num_in_flight() const;

  /// Waits for something to happen and handles it. Returns by `until`, and
  /// every few milliseconds anyway.
  void RunUntil(Time until);
  /// Handles what has happened already.
  void Poll();

 private:
  class Pool;
  explicit HttpClient(std::unique_ptr<Pool> pool);

  std::unique_ptr<Pool> pool_;
};

/// One GET on a connection of its own.
/// Errors: kUnavailable, kDeadlineExceeded or kDataLoss as OnNoReply.
absl::StatusOr<HttpReply> HttpGet(const HttpClientOptions& options,
                                  absl::string_view target);

}  // namespace parm
