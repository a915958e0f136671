#include "frontend/upstream/oip/server_reply_reader.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace parm {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;

using HeadParser = http::response_parser<http::empty_body>;
using BodyParser = http::response_parser<http::string_body>;

/// Interim replies (100 and so on) that are read over.
constexpr int kMaxInterimReplies = 8;

absl::string_view View(boost::beast::string_view text) {
  return absl::string_view(text.data(), text.size());
}

absl::Status Malformed(absl::string_view text) {
  return absl::DataLossError(absl::StrCat("the server's HTTP reply ", text));
}

absl::Status TooLarge(absl::string_view what, size_t limit) {
  return absl::ResourceExhaustedError(
      absl::StrCat("the server's reply is too large: its ", what,
                   " has more than ", limit, " bytes"));
}

}  // namespace

struct ServerReplyReader::Parser {
  enum class Stage {
    kHead,
    kSizedBody,  // Content-Length, into `body`
    kOtherBody,  // chunked, or up to the connection's end
    kDone,
    kBroken,
  };

  explicit Parser(const ServerReplyLimits& bounds)
      : limits(bounds), buffer(std::max<size_t>(bounds.max_head_bytes, 256)) {
    Begin();
  }

  void Begin() {
    stage = Stage::kHead;
    any = false;
    num_interim = 0;
    reply = ServerReply();
    body_data = nullptr;
    body_begun = false;
    received = 0;
    end = 0;
    body.reset();
    BeginHead();
  }

  void BeginHead() {
    head.emplace();
    head_used = 0;
    // The buffer is the bound, and is told apart from other errors.
    head->header_limit(UINT32_MAX);
    head->body_limit(boost::none);
  }

  // Drops what was used off the front of `buffer`.
  void Consume(size_t size) {
    std::memmove(buffer.data(), buffer.data() + size, end - size);
    end -= size;
  }

  absl::Status ReadHead();
  absl::Status TakeHead();
  absl::Status BeginBody(bool chunked, std::optional<uint64_t> length);
  absl::Status ReadOtherBody();
  absl::Status Finish();

  const ServerReplyLimits limits;
  Stage stage = Stage::kHead;
  bool any = false;
  bool keeps_alive = false;
  int num_interim = 0;
  std::vector<char> buffer;  // the head, and chunks
  size_t end = 0;            // bytes in it
  std::optional<HeadParser> head;
  size_t head_used = 0;  // bytes of it that have left the buffer
  std::optional<BodyParser> body;
  ServerReply reply;
  std::byte* body_data = nullptr;
  bool body_begun = false;  // of a body that is not sized
  size_t received = 0;      // of a sized body
};

absl::Status ServerReplyReader::Parser::ReadHead() {
  while (stage == Stage::kHead) {
    error_code error;
    const size_t used = head->put(asio::buffer(buffer.data(), end), error);
    Consume(used);
    head_used += used;
    if (error && error != http::error::need_more) {
      return Malformed(absl::StrCat("is malformed: ", error.message()));
    }
    // The first line may leave the buffer before the rest of the head is here.
    const size_t least = head_used + (error ? end + 1 : 0);
    if (least > buffer.size()) return TooLarge("head", buffer.size());
    if (error) return absl::OkStatus();
    if (!head->is_header_done()) {
      if (end == 0) return absl::OkStatus();
      continue;
    }
    PARM_RETURN_IF_ERROR(TakeHead());
  }
  return absl::OkStatus();
}

absl::Status ServerReplyReader::Parser::TakeHead() {
  const auto& message = head->get();
  reply.status = static_cast<int>(message.result_int());
  if (reply.status == 101) return Malformed("switches protocols unasked");
  if (reply.status / 100 == 1) {
    if (++num_interim > kMaxInterimReplies) {
      return Malformed("does not come after many interim ones");
    }
    BeginHead();
    return absl::OkStatus();
  }
  const absl::string_view coding = View(message[http::field::content_encoding]);
  if (!coding.empty() && !absl::EqualsIgnoreCase(coding, "identity")) {
    return Malformed(absl::StrCat("is compressed unasked: ", coding));
  }
  const absl::string_view json =
      View(message["Inference-Header-Content-Length"]);
  if (!json.empty()) {
    uint64_t json_bytes = 0;
    if (!absl::SimpleAtoi(json, &json_bytes)) {
      return Malformed("has an Inference-Header-Content-Length that is none");
    }
    reply.body.json_bytes = json_bytes;
  }
  keeps_alive = head->keep_alive();
  std::optional<uint64_t> length;
  if (const auto stated = head->content_length()) length = *stated;
  if (reply.status == 204 || reply.status == 304) length = 0;
  return BeginBody(head->chunked(), length);
}

absl::Status ServerReplyReader::Parser::BeginBody(
    bool chunked, std::optional<uint64_t> length) {
  if (chunked || !length.has_value()) {
    body.emplace(std::move(*head));
    body->body_limit(limits.max_body_bytes);
    body->eager(true);
    stage = Stage::kOtherBody;
    return ReadOtherBody();
  }
  if (*length > limits.max_body_bytes) {
    return TooLarge("body", limits.max_body_bytes);
  }
  reply.body.size = static_cast<size_t>(*length);
  reply.body.storage = oip::AllocateBody(reply.body.size, &body_data);
  received = std::min(end, reply.body.size);
  std::memcpy(body_data, buffer.data(), received);
  Consume(received);
  stage = Stage::kSizedBody;
  return received == reply.body.size ? Finish() : absl::OkStatus();
}

absl::Status ServerReplyReader::Parser::ReadOtherBody() {
  // Beast 1.81 asserts that a last chunk which is the first one too comes in
  // one piece. No chunked body is shorter than this one.
  constexpr size_t kShortestChunkedBody = sizeof("0\r\n\r\n") - 1;
  if (body->chunked() && !body_begun && end < kShortestChunkedBody) {
    return absl::OkStatus();
  }
  while (end > 0 && !body->is_done()) {
    error_code error;
    const size_t used = body->put(asio::buffer(buffer.data(), end), error);
    body_begun |= used > 0;
    Consume(used);
    if (error == http::error::need_more) {
      // A chunk's head or a trailer; it fits or is none.
      return end == buffer.size() ? TooLarge("chunk head", buffer.size())
                                  : absl::OkStatus();
    }
    if (error == http::error::body_limit) {
      return TooLarge("body", limits.max_body_bytes);
    }
    if (error)
      return Malformed(absl::StrCat("is malformed: ", error.message()));
    if (used == 0) break;
  }
  return body->is_done() ? Finish() : absl::OkStatus();
}

absl::Status ServerReplyReader::Parser::Finish() {
  if (end > 0) return Malformed("goes on behind its end");
  if (body.has_value()) {
    const std::optional<size_t> json_bytes = reply.body.json_bytes;
    reply.body = oip::BodyOf(std::move(body->get().body()));
    reply.body.json_bytes = json_bytes;
  }
  stage = Stage::kDone;
  return absl::OkStatus();
}

ServerReplyReader::ServerReplyReader(const ServerReplyLimits& limits)
    : parser_(std::make_unique<Parser>(limits)) {}
ServerReplyReader::~ServerReplyReader() = default;
ServerReplyReader::ServerReplyReader(ServerReplyReader&&) noexcept = default;

absl::Span<std::byte> ServerReplyReader::Space() {
  Parser& parser = *parser_;
  if (parser.stage == Parser::Stage::kSizedBody) {
    return {parser.body_data + parser.received, remaining()};
  }
  return {reinterpret_cast<std::byte*>(parser.buffer.data() + parser.end),
          parser.buffer.size() - parser.end};
}

absl::Status ServerReplyReader::Commit(size_t size) {
  Parser& parser = *parser_;
  parser.any |= size > 0;
  absl::Status status;
  switch (parser.stage) {
    case Parser::Stage::kHead:
      parser.end += size;
      status = parser.ReadHead();
      break;
    case Parser::Stage::kSizedBody:
      parser.received += size;
      if (remaining() == 0) status = parser.Finish();
      break;
    case Parser::Stage::kOtherBody:
      parser.end += size;
      status = parser.ReadOtherBody();
      break;
    case Parser::Stage::kDone:
      if (size > 0) status = Malformed("goes on behind its end");
      break;
    case Parser::Stage::kBroken:
      status = Malformed("was given up");
  }
  if (!status.ok()) parser.stage = Parser::Stage::kBroken;
  return status;
}

absl::Status ServerReplyReader::CommitEnd() {
  Parser& parser = *parser_;
  if (parser.stage == Parser::Stage::kDone) return absl::OkStatus();
  if (!parser.any) {
    return absl::UnavailableError(
        "the server closed the connection in place of a reply");
  }
  if (parser.stage == Parser::Stage::kOtherBody) {
    error_code error;
    parser.body->put_eof(error);
    if (!error && parser.body->is_done()) {
      parser.keeps_alive = false;
      return parser.Finish();
    }
  }
  parser.stage = Parser::Stage::kBroken;
  return Malformed("ended half-way");
}

bool ServerReplyReader::done() const {
  return parser_->stage == Parser::Stage::kDone;
}

bool ServerReplyReader::begun() const { return parser_->any; }

size_t ServerReplyReader::remaining() const {
  return parser_->stage == Parser::Stage::kSizedBody
             ? parser_->reply.body.size - parser_->received
             : 0;
}

bool ServerReplyReader::keep_alive() const { return parser_->keeps_alive; }

ServerReply ServerReplyReader::Take() {
  PARM_CHECK(done());
  ServerReply reply = std::move(parser_->reply);
  parser_->Begin();
  return reply;
}

}  // namespace parm
