#pragma once

// A complete HTTP request and the reply to it, between a connection and what
// answers it. Neither knows a socket.

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "frontend/serve/http_counters.h"
#include "proto/oip/body.h"

namespace parm {

enum class HttpMethod : uint8_t { kGet, kHead, kPost, kOther };

struct HttpRequest {
  HttpMethod method = HttpMethod::kOther;
  std::string target;  // as sent
  std::string content_encoding;
  std::string accept_encoding;
  std::string passed_headers;  // oip::RequestContext::headers
  /// As sent, still encoded; json_bytes is Inference-Header-Content-Length.
  oip::Body body;
};

struct HttpReply {
  int status = 200;
  Endpoint endpoint = Endpoint::kOther;
  /// Static text; empty: no Content-Type.
  absl::string_view content_type;
  /// Further header lines, each with its CRLF.
  std::string headers;
  oip::EncodedBody body;
  /// Inference-Header-Content-Length, if it is to be sent.
  std::optional<size_t> json_bytes;
};

/// {"error": sentence}.
HttpReply ErrorReply(Endpoint endpoint, int status, absl::string_view sentence);

/// A document of type application/json.
HttpReply JsonReply(Endpoint endpoint, std::string json);

/// "HTTP/1.1 200 OK" with its headers and the empty line. `http_version` is the
/// request's, 10 or 11.
void AppendReplyHead(const HttpReply& reply, int http_version, bool close,
                     std::string* out);

class HttpConnection;

/// Where the reply to one request goes. Send it exactly once, on the loop
/// thread, unless the connection abandons the request first.
class ReplySlot {
 public:
  ReplySlot() = default;
  ReplySlot(HttpConnection* connection, uint64_t sequence)
      : connection_(connection), sequence_(sequence) {}

  void Send(HttpReply reply) const;

 private:
  HttpConnection* connection_ = nullptr;
  uint64_t sequence_ = 0;
};

/// What answers the requests of a listener.
class HttpHandler {
 public:
  virtual ~HttpHandler() = default;

  /// Replies through `slot`, inside this call or later. Returns 0 if it did so
  /// already, else a token with which the request can be abandoned.
  virtual uint64_t Handle(HttpRequest request, ReplySlot slot) = 0;

  /// The client has gone: `slot` must not be used any more.
  virtual void Abandon(uint64_t token) = 0;
};

}  // namespace parm
