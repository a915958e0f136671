#pragma once

// What of a client's request is handed on to a model server that is not ours,
// beside the tensors; step [2] of a query's life.

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "proto/oip/messages.h"

namespace parm {

/// Null if there is nothing to hand on. Our own parameters (parm_*) stay here.
std::shared_ptr<const oip::RequestContext> ContextOf(
    const oip::InferRequest& request, const std::string& id);

/// What a request says of the sequence that it belongs to.
struct SequenceStep {
  std::string id;  // "7", or "'a'" where the client says a string; empty: none
  bool start = false;
  bool end = false;
};

/// As in Triton, 0 and the empty string are no sequence.
/// Errors: kInvalidArgument for an id of more than 256 bytes.
absl::StatusOr<SequenceStep> SequenceStepOf(const oip::Parameters& parameters);

/// A header by which a proxy says how often it has sent a request.
struct AttemptHeader {
  std::string name;
  /// What the first attempt says at most: 1 where attempts are counted, 0 where
  /// earlier ones are.
  uint32_t first = 0;

  bool operator==(const AttemptHeader&) const = default;
};

/// Those that are known: Envoy's, and gRPC's of retries and hedges.
std::vector<AttemptHeader> DefaultAttemptHeaders();

/// Whether one of these says that the request was sent before. `headers` as
/// oip::InferRequest::headers. A value that is no number says so too.
bool SaysFurtherAttempt(absl::string_view headers,
                        absl::Span<const AttemptHeader> known);

}  // namespace parm
