#pragma once

// HTTP/1.1 requests out of a stream of bytes: Beast's parser, kept to the few
// headers that matter here, and strict where two readings of one message would
// be possible (request smuggling). Step [1] of a query's life.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "frontend/serve/http_message.h"

namespace parm {

struct RequestHead {
  HttpMethod method = HttpMethod::kOther;
  std::string target;
  int http_version = 11;  // or 10
  bool keep_alive = true;
  bool chunked = false;
  bool expects_continue = false;
  uint64_t content_length = 0;  // 0 if chunked
  std::optional<size_t> json_bytes;
  std::string content_encoding;
  std::string accept_encoding;
  /// oip::RequestContext::headers.
  std::string passed_headers;
};

/// One request after the other.
/// Threads: owned by one.
class RequestParser {
 public:
  enum class Progress { kNeedMore, kHead, kBody, kError };
  struct Step {
    Progress progress;
    size_t consumed;
  };

  RequestParser(size_t max_header_bytes, size_t max_body_bytes);
  ~RequestParser();

  /// Reads the head: kHead once, then head() is valid. A body with a
  /// Content-Length is the caller's to take from the stream.
  Step ParseHead(absl::string_view bytes);

  /// Reads a chunked body after kHead; kBody once it is complete.
  Step ParseChunks(absl::string_view bytes);

  /// Forgets the request and is ready for the next one.
  void Reset();

  RequestHead& head() { return head_; }
  /// What ParseChunks has put together.
  std::string& chunked_body() { return chunked_body_; }
  /// After kError: status and sentence of the reply that ends the connection.
  int error_status() const { return error_status_; }
  const std::string& error_sentence() const { return error_sentence_; }

 private:
  class Impl;
  friend class Impl;

  Step Fail(size_t consumed);
  void SetError(int status, absl::string_view sentence);

  const size_t max_header_bytes_;  // Constant after construction.
  const size_t max_body_bytes_;
  const std::unique_ptr<Impl> impl_;
  RequestHead head_;
  std::string chunked_body_;
  size_t num_chunks_ = 0;
  int error_status_ = 0;
  std::string error_sentence_;
};

}  // namespace parm
