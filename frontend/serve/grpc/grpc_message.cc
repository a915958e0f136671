#include "frontend/serve/grpc/grpc_message.h"

#include <grpcpp/support/proto_buffer_reader.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "frontend/serve/trace_context.h"
#include "proto/oip/header_metadata.h"
#include "proto/oip/infer_request_message.h"

namespace parm {
namespace {

constexpr char kDeadlineParameter[] = "parm_deadline_us";

/// True if `value` is a number of microseconds that is not above `limit_us`.
bool IsShorter(const oip::ParameterValue& value, int64_t limit_us) {
  if (const auto* signed_us = std::get_if<int64_t>(&value)) {
    return *signed_us <= limit_us;
  }
  if (const auto* us = std::get_if<uint64_t>(&value)) {
    return *us <= static_cast<uint64_t>(limit_us);
  }
  return true;  // Makes no sense: the service says so.
}

/// What the client says beside, for the server that will answer.
std::string HeadersOf(const grpc::CallbackServerContext& context) {
  std::string headers;
  for (const auto& [name, value] : context.client_metadata()) {
    oip::AppendMetadata({name.data(), name.size()},
                        {value.data(), value.size()}, &headers);
  }
  return headers;
}

absl::Status ApplyDeadline(const grpc::CallbackServerContext& context,
                           oip::Parameters* parameters) {
  const std::chrono::system_clock::time_point deadline = context.deadline();
  if (deadline == std::chrono::system_clock::time_point::max()) {
    return absl::OkStatus();
  }
  const int64_t left_us = std::chrono::duration_cast<std::chrono::microseconds>(
                              deadline - std::chrono::system_clock::now())
                              .count();
  if (left_us <= 0) {
    return absl::DeadlineExceededError(
        "parm-frontend: the call's deadline has passed");
  }
  for (auto& [name, value] : *parameters) {
    if (name != kDeadlineParameter) continue;
    if (!IsShorter(value, left_us)) value = left_us;
    return absl::OkStatus();
  }
  parameters->emplace_back(kDeadlineParameter, left_us);
  return absl::OkStatus();
}

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  const auto code = [&] {
    switch (status.code()) {
      case absl::StatusCode::kOk:
        return grpc::StatusCode::OK;
      case absl::StatusCode::kInvalidArgument:
        return grpc::StatusCode::INVALID_ARGUMENT;
      case absl::StatusCode::kPermissionDenied:
        return grpc::StatusCode::PERMISSION_DENIED;
      case absl::StatusCode::kNotFound:
        return grpc::StatusCode::NOT_FOUND;
      case absl::StatusCode::kOutOfRange:
        return grpc::StatusCode::RESOURCE_EXHAUSTED;
      case absl::StatusCode::kUnimplemented:
        return grpc::StatusCode::UNIMPLEMENTED;
      case absl::StatusCode::kUnavailable:
      case absl::StatusCode::kResourceExhausted:
        return grpc::StatusCode::UNAVAILABLE;
      case absl::StatusCode::kDeadlineExceeded:
        return grpc::StatusCode::DEADLINE_EXCEEDED;
      case absl::StatusCode::kCancelled:
        return grpc::StatusCode::CANCELLED;
      default:
        return grpc::StatusCode::INTERNAL;
    }
  }();
  return {code, std::string(status.message())};
}

absl::StatusOr<oip::InferRequest> TakeInferRequest(
    const grpc::CallbackServerContext& context, grpc::ByteBuffer* message) {
  absl::StatusOr<oip::InferRequest> request = [&] {
    grpc::ProtoBufferReader reader(message);
    return oip::ReadInferMessage(&reader, message->Length());
  }();
  message->Clear();
  if (!request.ok()) return request;
  PARM_RETURN_IF_ERROR(ApplyDeadline(context, &request->parameters));
  request->headers = HeadersOf(context);
  return request;
}

size_t TensorBytes(const oip::InferRequest& request) {
  size_t total = 0;
  for (const oip::Tensor& input : request.inputs) total += input.data.size();
  return total;
}

void AddTrailingMetadata(const QueryReply& answer,
                         grpc::CallbackServerContext* context) {
  const auto& metadata = context->client_metadata();
  const auto trace = metadata.find("traceparent");
  if (trace != metadata.end()) {
    const absl::string_view value(trace->second.data(), trace->second.size());
    if (IsTraceparent(value)) {
      context->AddTrailingMetadata("traceparent", std::string(value));
    }
  }
  if (!answer.status.ok()) {
    // What the gRPC library's own retries go by.
    if (answer.retry_after_s > 0) {
      context->AddTrailingMetadata("grpc-retry-pushback-ms",
                                   absl::StrCat(1000 * answer.retry_after_s));
    }
    return;
  }
  if (answer.source.empty()) return;
  context->AddTrailingMetadata("x-parm-source", answer.source);
  if (answer.confidence.has_value()) {
    context->AddTrailingMetadata("x-parm-confidence",
                                 absl::StrCat(*answer.confidence));
  }
}

absl::Status ShuttingDown() {
  return absl::UnavailableError("parm-frontend: shutting down");
}

absl::Status Overloaded() {
  return absl::ResourceExhaustedError(
      "parm-frontend: too many gRPC calls, or bytes of their messages, are "
      "held");
}

}  // namespace parm
