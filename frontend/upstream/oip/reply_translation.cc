#include "frontend/upstream/oip/reply_translation.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "proto/oip/metadata_json.h"

namespace parm {
namespace {

absl::string_view TextOf(const oip::Body& body) {
  return absl::string_view(
      reinterpret_cast<const char*>(body.storage.bytes().data()), body.size);
}

// Triton's and MLServer's words for a model that is being loaded or unloaded.
bool SaysModelIsAway(absl::string_view error) {
  return absl::StrContains(error, "unknown model") ||
         absl::StrContains(error, "not ready") ||
         absl::StrContains(error, "not at ready state") ||
         absl::StrContains(error, "no available versions");
}

}  // namespace

ServerVerdict VerdictOf(int http_status, absl::string_view error) {
  switch (http_status) {
    case 400:
    case 422:
      if (SaysModelIsAway(error)) {
        return {.code = absl::StatusCode::kUnavailable, .retryable = true};
      }
      return {.code = absl::StatusCode::kInvalidArgument};
    case 401:
    case 403:
      return {.code = absl::StatusCode::kPermissionDenied};
    case 404:
      // Every server was asked for this model when it said hello.
      return {.code = absl::StatusCode::kNotFound, .retryable = true};
    case 413:
      return {.code = absl::StatusCode::kOutOfRange};
    case 501:
      return {.code = absl::StatusCode::kUnimplemented};
    case 429:
    case 502:
    case 503:
      return {.code = absl::StatusCode::kUnavailable, .retryable = true};
    case 408:
    case 504:
      return {.code = absl::StatusCode::kDeadlineExceeded, .retryable = true};
    default:
      return {.retryable = http_status >= 500};
  }
}

WorkerReply ReplyTranslator::Translate(TaskId task, absl::string_view version,
                                       ServerReply reply,
                                       std::string* replied_version) {
  WorkerReply out{.task = task, .status = wire::ERROR};
  if (reply.status != 200) {
    const std::string sentence = oip::ParseError(TextOf(reply.body));
    const ServerVerdict verdict = VerdictOf(reply.status, sentence);
    ++(verdict.retryable ? counters_->failed : counters_->refused);
    out.retryable = verdict.retryable;
    out.error_code = verdict.code;
    out.error = absl::StrCat("HTTP ", reply.status, ": ", sentence);
    return out;
  }
  absl::StatusOr<oip::InferResponse> response = parser_.Parse(reply.body);
  if (!response.ok()) {
    ++counters_->malformed;
    out.retryable = true;
    out.error = std::string(response.status().message());
    return out;
  }
  ++counters_->ok;
  out.status = wire::OK;
  out.tensors = std::move(response->outputs);
  if (response->model_version.empty()) return out;
  if (!version.empty() && response->model_version != std::string(version)) {
    ++counters_->other_version;
    out.decodable = false;
  }
  *replied_version = std::move(response->model_version);
  return out;
}

}  // namespace parm
