#pragma once

// ModelInferResponse and ModelStreamInferResponse (grpc_service.proto), values
// to bytes and back: the gRPC front writes replies with it (step [7] of a
// query's life), the upstream to model servers reads them. Large raw tensors
// are not copied when they are written. It knows no gRPC library.

#include <cstddef>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "proto/oip/infer_response_codec.h"
#include "proto/oip/message_pieces.h"
#include "proto/oip/messages.h"

namespace google::protobuf::io {
class ZeroCopyInputStream;
}  // namespace google::protobuf::io

namespace parm::oip {

/// Writes the outputs that were asked for, in that order; all if `requested` is
/// empty. `raw`: as raw_output_contents; else typed, unless one of them is FP16
/// or BF16, which have no typed form: then all go raw.
/// Errors: kInvalidArgument if a requested output is not there.
absl::StatusOr<MessagePieces> WriteInferMessage(
    const InferResponse& response, absl::Span<const RequestedOutput> requested,
    bool raw, const AnswerLabel& label = {});

/// The same inside a ModelStreamInferResponse.
absl::StatusOr<MessagePieces> WriteStreamMessage(
    const InferResponse& response, absl::Span<const RequestedOutput> requested,
    bool raw, const AnswerLabel& label = {});

/// A ModelStreamInferResponse that says what went wrong with the query `id`.
MessagePieces WriteStreamError(absl::string_view message, absl::string_view id);

/// Reads a reply, all `size` bytes of `in`, raw or typed. Raw tensors are
/// copied once, into buffers of their own. Its parameters are left out: clients
/// do not see them. Errors: kDataLoss for whatever is malformed or beyond a
/// limit.
absl::StatusOr<InferResponse> ReadInferReply(
    google::protobuf::io::ZeroCopyInputStream* in, size_t size,
    const CodecLimits& limits = {});

}  // namespace parm::oip
