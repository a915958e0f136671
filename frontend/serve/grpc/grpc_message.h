#pragma once

// Bytes of the gRPC library <-> values of ours. Internal to
// frontend/serve/grpc/: it shows the library's headers.

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>

#include <cstddef>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "frontend/serve/query_service.h"
#include "proto/oip/messages.h"

namespace parm {

/// INVALID_ARGUMENT, PERMISSION_DENIED, NOT_FOUND, UNAVAILABLE, ... as
/// query_service.h says for HTTP; too large is RESOURCE_EXHAUSTED, as the gRPC
/// library has it.
grpc::Status ToGrpcStatus(const absl::Status& status);

/// Reads a request and lets go of `message`. The call's deadline becomes
/// parm_deadline_us, unless that is shorter.
/// Errors: as oip::ReadInferMessage; kDeadlineExceeded if it has passed.
absl::StatusOr<oip::InferRequest> TakeInferRequest(
    const grpc::CallbackServerContext& context, grpc::ByteBuffer* message);

size_t TensorBytes(const oip::InferRequest& request);

/// Trailing metadata x-parm-source and x-parm-confidence, or how long to wait
/// before another try.
void AddTrailingMetadata(const QueryReply& answer,
                         grpc::CallbackServerContext* context);

/// What calls get that nobody could be asked about.
absl::Status ShuttingDown();
/// max_calls, max_streams or max_buffered_bytes.
absl::Status Overloaded();

}  // namespace parm
