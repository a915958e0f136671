#include "frontend/upstream/oip/reply_translation.h"

#include <utility>
#include <variant>

#include "absl/strings/match.h"

namespace parm {
namespace {

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

ServerVerdict VerdictOf(absl::StatusCode grpc_code, absl::string_view error) {
  switch (grpc_code) {
    case absl::StatusCode::kInvalidArgument:
      if (SaysModelIsAway(error)) {
        return {.code = absl::StatusCode::kUnavailable, .retryable = true};
      }
      return {.code = absl::StatusCode::kInvalidArgument};
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
      return {.code = absl::StatusCode::kPermissionDenied};
    case absl::StatusCode::kUnimplemented:
      return {.code = absl::StatusCode::kUnimplemented};
    case absl::StatusCode::kNotFound:
      // Every server was asked for this model when it said hello.
      return {.code = absl::StatusCode::kNotFound, .retryable = true};
    case absl::StatusCode::kResourceExhausted:
      // The library's words, in all its languages: no server takes it then.
      if (absl::StrContains(error, "larger than max")) {
        return {.code = absl::StatusCode::kOutOfRange};
      }
      return {.code = absl::StatusCode::kUnavailable, .retryable = true};
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return {.code = grpc_code, .retryable = true};
    default:
      return {.retryable = true};
  }
}

WorkerReply TranslateReply(TaskId task, absl::string_view version,
                           ServerAnswer answer, ServerReplyCounters* counters,
                           std::string* replied_version) {
  WorkerReply out{.task = task, .status = wire::ERROR};
  if (!answer.status.ok()) {
    out.retryable = answer.retryable;
    out.error = std::string(answer.status.message());
    if (answer.status.code() == absl::StatusCode::kDataLoss) {
      ++counters->malformed;
      return out;
    }
    ++(answer.retryable ? counters->failed : counters->refused);
    out.error_code = answer.status.code();
    return out;
  }
  auto& response = std::get<oip::InferResponse>(answer.content);
  ++counters->ok;
  out.status = wire::OK;
  out.tensors = std::move(response.outputs);
  if (response.model_version.empty()) return out;
  if (!version.empty() && response.model_version != std::string(version)) {
    ++counters->other_version;
    out.decodable = false;
  }
  *replied_version = std::move(response.model_version);
  return out;
}

}  // namespace parm
