#pragma once

// The body of POST .../infer: the frontend parses it (step [1] of a query's
// life); the load generator and clients of other servers write it.

#include "absl/status/statusor.h"
#include "proto/oip/body.h"
#include "proto/oip/json_parser.h"
#include "proto/oip/messages.h"

namespace parm::oip {

/// Keeps its parser's memory between calls.
/// Threads: owned by one.
class InferRequestParser {
 public:
  explicit InferRequestParser(const CodecLimits& limits = {})
      : limits_(limits) {}

  /// Reads a request. Model name and version come from the URL and stay empty.
  /// Binary tensors are slices of body.storage. binary_data and
  /// binary_data_output are resolved into RequestedOutput::binary and
  /// InferRequest::binary_outputs; all other parameters are kept.
  /// Checks: types, bounds, names that repeat, sizes that must add up exactly,
  /// and the types of the protocol's reserved parameters.
  /// Errors: kInvalidArgument; kUnimplemented for classification and shared
  /// memory; kResourceExhausted without memory.
  absl::StatusOr<InferRequest> Parse(const Body& body);

 private:
  const CodecLimits limits_;
  JsonParser parser_;
};

/// A raw binary request (json_bytes is 0): the whole body is the model's only
/// input and all outputs are wanted binary. At most one dimension beside the
/// batch may be variable; a BYTES tensor is one element.
/// Errors: kInvalidArgument if the model or the size does not allow it.
absl::StatusOr<InferRequest> RawInferRequest(const ModelMetadata& model,
                                             const Body& body);

/// The body of `request`. `binary_inputs` says how all its inputs go; the
/// outputs' own fields say how they come back.
/// Errors: kInvalidArgument for an input that has no JSON form.
absl::StatusOr<EncodedBody> WriteInferRequest(const InferRequest& request,
                                              bool binary_inputs);

}  // namespace parm::oip
