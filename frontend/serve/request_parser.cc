#include "frontend/serve/request_parser.h"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace parm {
namespace {

namespace http = boost::beast::http;
using BeastString = boost::beast::string_view;
using boost::beast::error_code;

/// Each costs the parser a line; a body of this many is no honest one.
constexpr size_t kMaxChunks = size_t{1} << 16;

absl::string_view ToAbsl(BeastString text) {
  return absl::string_view(text.data(), text.size());
}

/// Stops Beast's parser; what to reply was set before.
error_code Refused() {
  return boost::system::errc::make_error_code(
      boost::system::errc::invalid_argument);
}

bool IsDecimal(absl::string_view text) {
  if (text.empty()) return false;
  for (const char c : text) {
    if (!absl::ascii_isdigit(static_cast<unsigned char>(c))) return false;
  }
  return true;
}

void AppendToken(absl::string_view value, std::string* list) {
  if (!list->empty()) list->append(", ");
  absl::StrAppend(list, value);
}

/// Whether a header is meant for whoever answers in the end. Not so: what tells
/// of one connection, or of a body that the next request writes anew.
bool IsEndToEnd(http::field name, absl::string_view name_text) {
  switch (name) {
    case http::field::accept:
    case http::field::accept_encoding:
    case http::field::connection:
    case http::field::content_encoding:
    case http::field::content_length:
    case http::field::content_type:
    case http::field::expect:
    case http::field::host:
    case http::field::keep_alive:
    case http::field::proxy_authenticate:
    case http::field::proxy_authorization:
    case http::field::proxy_connection:
    case http::field::te:
    case http::field::trailer:
    case http::field::transfer_encoding:
    case http::field::upgrade:
      return false;
    case http::field::unknown:
      return !absl::EqualsIgnoreCase(name_text,
                                     "Inference-Header-Content-Length");
    default:
      return true;
  }
}

}  // namespace

/// Beast calls these as it reads; each message has a fresh Beast parser, whose
/// state cannot be reset.
class RequestParser::Impl {
 public:
  class Beast : public http::basic_parser</*isRequest=*/true> {
   public:
    explicit Beast(RequestParser* owner) : owner_(owner) {
      eager(false);
      header_limit(static_cast<uint32_t>(owner->max_header_bytes_));
      body_limit(boost::none);  // Checked by the owner.
    }

   private:
    void on_request_impl(http::verb method, BeastString, BeastString target,
                         int version, error_code&) override {
      RequestHead& head = owner_->head_;
      head.method = method == http::verb::post   ? HttpMethod::kPost
                    : method == http::verb::get  ? HttpMethod::kGet
                    : method == http::verb::head ? HttpMethod::kHead
                                                 : HttpMethod::kOther;
      head.target.assign(target.data(), target.size());
      head.http_version = version;
    }
    void on_response_impl(int, BeastString, int, error_code&) override {}
    void on_field_impl(http::field name, BeastString name_text,
                       BeastString value, error_code& ec) override {
      if (head_done_) return;  // A trailer: nothing in it counts.
      if (!OnField(name, ToAbsl(name_text), ToAbsl(value))) ec = Refused();
      if (name == http::field::connection) {
        absl::StrAppend(&connection_names_, ",", ToAbsl(value));
      } else if (IsEndToEnd(name, ToAbsl(name_text))) {
        absl::StrAppend(&owner_->head_.passed_headers, ToAbsl(name_text), ": ",
                        ToAbsl(value), "\r\n");
      }
    }
    void on_header_impl(error_code& ec) override {
      head_done_ = true;
      if (!CheckHead()) ec = Refused();
    }
    void on_body_init_impl(const boost::optional<uint64_t>&,
                           error_code&) override {}
    size_t on_body_impl(BeastString body, error_code&) override {
      return body.size();
    }
    void on_chunk_header_impl(uint64_t size, BeastString,
                              error_code& ec) override {
      const size_t room =
          owner_->max_body_bytes_ - owner_->chunked_body_.size();
      if (size > room || ++owner_->num_chunks_ > kMaxChunks) {
        owner_->SetError(413, absl::StrCat("the body is too large: want at "
                                           "most ",
                                           owner_->max_body_bytes_, " bytes"));
        ec = Refused();
      }
    }
    size_t on_chunk_body_impl(uint64_t, BeastString body,
                              error_code&) override {
      owner_->chunked_body_.append(body.data(), body.size());
      return body.size();
    }
    void on_finish_impl(error_code&) override {}

    bool OnField(http::field name, absl::string_view name_text,
                 absl::string_view value);
    bool CheckHead();
    // Headers that Connection names concern this connection alone.
    void DropConnectionHeaders();
    bool Refuse(int status, absl::string_view sentence) {
      owner_->SetError(status, sentence);
      return false;
    }

    RequestParser* const owner_;
    bool head_done_ = false;
    std::string connection_names_;  // a list
    int num_hosts_ = 0;
    int num_lengths_ = 0;
    int num_transfer_encodings_ = 0;
  };

  std::optional<Beast> beast;
};

bool RequestParser::Impl::Beast::OnField(http::field name,
                                         absl::string_view name_text,
                                         absl::string_view value) {
  RequestHead& head = owner_->head_;
  switch (name) {
    case http::field::host:
      ++num_hosts_;
      return true;
    case http::field::content_length:
      // Beast takes lists of equal lengths; whoever sends two is not trusted.
      if (++num_lengths_ > 1 || !IsDecimal(value)) {
        return Refuse(400, "Content-Length must be one decimal number");
      }
      return true;
    case http::field::transfer_encoding:
      ++num_transfer_encodings_;
      if (!absl::EqualsIgnoreCase(value, "chunked")) {
        return Refuse(501, "the only Transfer-Encoding supported is chunked");
      }
      return true;
    case http::field::content_encoding:
      AppendToken(value, &head.content_encoding);
      return true;
    case http::field::accept_encoding:
      AppendToken(value, &head.accept_encoding);
      return true;
    case http::field::expect:
      if (absl::EqualsIgnoreCase(value, "100-continue")) {
        head.expects_continue = true;
      } else if (!value.empty()) {  // Triton's C++ client sends an empty one.
        return Refuse(417, "the only Expect supported is 100-continue");
      }
      return true;
    default:
      break;
  }
  if (name == http::field::unknown &&
      absl::EqualsIgnoreCase(name_text, "Inference-Header-Content-Length")) {
    uint64_t length;
    if (head.json_bytes.has_value() || !IsDecimal(value) ||
        !absl::SimpleAtoi(value, &length)) {
      return Refuse(400,
                    "Inference-Header-Content-Length must be one decimal "
                    "number");
    }
    head.json_bytes = static_cast<size_t>(length);
  }
  return true;
}

void RequestParser::Impl::Beast::DropConnectionHeaders() {
  std::string kept;
  for (const absl::string_view line : absl::StrSplit(
           owner_->head_.passed_headers, "\r\n", absl::SkipEmpty())) {
    const absl::string_view name = line.substr(0, line.find(':'));
    bool named = false;
    for (const absl::string_view item :
         absl::StrSplit(connection_names_, ',')) {
      named |= absl::EqualsIgnoreCase(absl::StripAsciiWhitespace(item), name);
    }
    if (!named) absl::StrAppend(&kept, line, "\r\n");
  }
  owner_->head_.passed_headers = std::move(kept);
}

bool RequestParser::Impl::Beast::CheckHead() {
  RequestHead& head = owner_->head_;
  head.chunked = chunked();
  head.keep_alive = keep_alive();
  head.content_length = content_length().value_or(0);
  if (!connection_names_.empty()) DropConnectionHeaders();
  if (head.http_version >= 11 && num_hosts_ != 1) {
    return Refuse(400, "an HTTP/1.1 request must have one Host header");
  }
  if (head.http_version < 11 && num_transfer_encodings_ > 0) {
    return Refuse(400, "Transfer-Encoding needs HTTP/1.1");
  }
  if (head.content_length > owner_->max_body_bytes_) {
    return Refuse(
        413, absl::StrCat("the body is too large: got ", head.content_length,
                          " bytes, want at "
                          "most ",
                          owner_->max_body_bytes_));
  }
  return true;
}

RequestParser::RequestParser(size_t max_header_bytes, size_t max_body_bytes)
    : max_header_bytes_(max_header_bytes),
      max_body_bytes_(max_body_bytes),
      impl_(std::make_unique<Impl>()) {
  Reset();
}

RequestParser::~RequestParser() = default;

void RequestParser::Reset() {
  impl_->beast.emplace(this);
  head_.target.clear();
  head_.content_encoding.clear();
  head_.accept_encoding.clear();
  head_.passed_headers.clear();
  head_.json_bytes.reset();
  head_.expects_continue = false;
  chunked_body_ = {};
  num_chunks_ = 0;
}

void RequestParser::SetError(int status, absl::string_view sentence) {
  error_status_ = status;
  error_sentence_ = std::string(sentence);
}

RequestParser::Step RequestParser::Fail(size_t consumed) {
  if (error_status_ == 0) {
    SetError(400, "the request is not valid HTTP");
  }
  return {.progress = Progress::kError, .consumed = consumed};
}

RequestParser::Step RequestParser::ParseHead(absl::string_view bytes) {
  Impl::Beast& beast = *impl_->beast;
  error_code ec;
  const size_t consumed =
      beast.put(boost::asio::const_buffer(bytes.data(), bytes.size()), ec);
  if (ec == http::error::need_more) {
    if (bytes.size() >= max_header_bytes_) ec = http::error::header_limit;
  }
  if (ec == http::error::header_limit) {
    SetError(431, absl::StrCat("the headers are too large: want at most ",
                               max_header_bytes_, " bytes"));
    return Fail(consumed);
  }
  if (ec == http::error::need_more) {
    return {.progress = Progress::kNeedMore, .consumed = consumed};
  }
  if (ec) {
    if (error_status_ == 0) {
      SetError(400,
               absl::StrCat("the request is not valid HTTP: ", ec.message()));
    }
    return Fail(consumed);
  }
  if (!beast.is_header_done()) {
    return {.progress = Progress::kNeedMore, .consumed = consumed};
  }
  return {.progress = Progress::kHead, .consumed = consumed};
}

RequestParser::Step RequestParser::ParseChunks(absl::string_view bytes) {
  // Beast 1.81 asserts that a last chunk which is the first one too never comes
  // in pieces. No chunked body is shorter than this one.
  constexpr size_t kShortestBody = sizeof("0\r\n\r\n") - 1;
  if (num_chunks_ == 0 && bytes.size() < kShortestBody) {
    return {.progress = Progress::kNeedMore, .consumed = 0};
  }
  Impl::Beast& beast = *impl_->beast;
  beast.eager(true);
  size_t consumed = 0;
  while (!beast.is_done()) {
    error_code ec;
    const size_t used =
        beast.put(boost::asio::const_buffer(bytes.data() + consumed,
                                            bytes.size() - consumed),
                  ec);
    consumed += used;
    if (ec == http::error::need_more || (!ec && used == 0)) {
      // A chunk's line or a trailer that fills the whole buffer never ends.
      if (used == 0 && bytes.size() - consumed >= max_header_bytes_) {
        SetError(431, "a chunk header or trailer is too large");
        return Fail(consumed);
      }
      return {.progress = Progress::kNeedMore, .consumed = consumed};
    }
    if (ec) return Fail(consumed);
  }
  return {.progress = Progress::kBody, .consumed = consumed};
}

}  // namespace parm
