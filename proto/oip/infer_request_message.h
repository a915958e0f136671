#pragma once

// ModelInferRequest (grpc_service.proto), bytes to values and back: the gRPC
// front reads requests with it (step [1] of a query's life), the upstream to
// model servers writes them (step [5]). It knows no gRPC library.

#include <cstddef>

#include "absl/status/statusor.h"
#include "proto/oip/body.h"
#include "proto/oip/message_pieces.h"
#include "proto/oip/messages.h"

namespace google::protobuf::io {
class ZeroCopyInputStream;
}  // namespace google::protobuf::io

namespace parm::oip {

/// Reads a request, all `size` bytes of `in`. Raw tensors are copied once, into
/// buffers of their own. binary_outputs, here and in every requested output,
/// says that the inputs came raw: then the outputs go raw.
/// Checks: what InferRequestParser::Parse does.
/// Errors: kInvalidArgument, also if raw and typed contents are mixed;
/// kUnimplemented for classification and shared memory.
absl::StatusOr<InferRequest> ReadInferMessage(
    google::protobuf::io::ZeroCopyInputStream* in, size_t size,
    const CodecLimits& limits = {});

/// Writes a request for all outputs. Inputs go as raw_input_contents; large
/// ones are not copied.
/// Errors: kInvalidArgument beyond 2 GiB, which no message can be.
absl::StatusOr<MessagePieces> WriteInferRequestMessage(
    const InferRequest& request);

}  // namespace parm::oip
