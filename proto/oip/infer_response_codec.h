#pragma once

// The body of a reply to POST .../infer: the frontend writes it (step [7] of a
// query's life); the load generator and clients of other servers parse it.

#include <optional>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "proto/oip/body.h"
#include "proto/oip/json_parser.h"
#include "proto/oip/messages.h"

namespace parm::oip {

/// How an answer was made: response parameters parm_source, parm_confidence.
struct AnswerLabel {
  absl::string_view source;  // empty: not labelled
  std::optional<float> confidence;
};

/// Writes the outputs that were asked for, in that order; all outputs, binary
/// or not as `binary_outputs` says, if `requested` is empty.
/// Errors: kInvalidArgument if a requested output is not there or has no JSON
/// form.
absl::StatusOr<EncodedBody> WriteInferResponse(
    const InferResponse& response, absl::Span<const RequestedOutput> requested,
    bool binary_outputs, const AnswerLabel& label = {});

/// Keeps its parser's memory between calls.
/// Threads: owned by one.
class InferResponseParser {
 public:
  explicit InferResponseParser(const CodecLimits& limits = {})
      : limits_(limits) {}

  /// Reads a reply. Binary outputs are slices of body.storage.
  /// Errors: kDataLoss for whatever is malformed or beyond a limit.
  absl::StatusOr<InferResponse> Parse(const Body& body);

 private:
  absl::StatusOr<InferResponse> ParseChecked(const Body& body);

  const CodecLimits limits_;
  JsonParser parser_;
};

}  // namespace parm::oip
