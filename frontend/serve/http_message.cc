#include "frontend/serve/http_message.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "proto/oip/metadata_json.h"

namespace parm {
namespace {

absl::string_view ReasonPhrase(int status) {
  switch (status) {
    case 100:
      return "Continue";
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 413:
      return "Content Too Large";
    case 417:
      return "Expectation Failed";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    default:
      return "Status";
  }
}

}  // namespace

HttpReply JsonReply(Endpoint endpoint, std::string json) {
  HttpReply reply{.endpoint = endpoint, .content_type = "application/json"};
  reply.body.json = std::move(json);
  return reply;
}

HttpReply ErrorReply(Endpoint endpoint, int status,
                     absl::string_view sentence) {
  HttpReply reply = JsonReply(endpoint, oip::WriteError(sentence));
  reply.status = status;
  return reply;
}

void AppendReplyHead(const HttpReply& reply, int http_version, bool close,
                     std::string* out) {
  absl::StrAppend(out, "HTTP/1.1 ", reply.status, " ",
                  ReasonPhrase(reply.status), "\r\n");
  if (reply.status == 100) {
    out->append("\r\n");
    return;
  }
  if (!reply.content_type.empty()) {
    absl::StrAppend(out, "Content-Type: ", reply.content_type, "\r\n");
  }
  if (reply.json_bytes.has_value()) {
    absl::StrAppend(out, "Inference-Header-Content-Length: ", *reply.json_bytes,
                    "\r\n");
  }
  out->append(reply.headers);
  if (close) {
    out->append("Connection: close\r\n");
  } else if (http_version == 10) {
    out->append("Connection: keep-alive\r\n");
  }
  absl::StrAppend(out, "Content-Length: ", reply.body.TotalBytes(), "\r\n\r\n");
}

}  // namespace parm
