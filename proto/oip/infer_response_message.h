#pragma once

// ModelInferResponse and ModelStreamInferResponse (grpc_service.proto), values
// to bytes: the gRPC front writes replies with it, step [7] of a query's life.
// Large raw tensors are not copied. It knows no gRPC library.

#include <cstddef>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/buffer.h"
#include "proto/oip/infer_response_codec.h"
#include "proto/oip/messages.h"

namespace parm::oip {

/// A message to be sent piece after piece.
using MessagePieces = std::vector<Buffer>;

size_t TotalBytes(const MessagePieces& pieces);

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

}  // namespace parm::oip
