#pragma once

// From a request's target to the endpoint of the Open Inference Protocol over
// HTTP that it names, and from an error to the status that says it there: the
// frontend's listener and the worker's own port speak alike.

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace parm::oip {

/// /metrics is no part of the protocol, but is served beside it.
enum class Endpoint : uint8_t {
  kLive,
  kReady,
  kServerMetadata,
  kModelNames,
  kModelMetadata,
  kModelReady,
  kModelConfig,
  kModelStatistics,  // no model named: of all
  kInfer,
  kRepositoryIndex,
  kMetrics,
  kOther,  // unknown paths, and requests that could not be read
};
inline constexpr size_t kNumEndpoints = 12;

/// "live", "infer" and so on: label `endpoint` of the metrics.
const char* EndpointName(Endpoint endpoint);

struct Route {
  enum class Kind {
    kFound,
    kNotFound,
    kBadTarget,     // percent-encoding that is none
    kSharedMemory,  // an extension that is refused by name
  };
  Kind kind = Kind::kNotFound;
  Endpoint endpoint = Endpoint::kOther;
  std::string model;
  std::string version;
};

/// Splits the path, then decodes each segment, so that an encoded slash stays
/// part of a name. Query strings are ignored; the absolute form
/// (http://host/path) is understood.
Route ParseTarget(absl::string_view target);

/// Decodes %41 and so on. False if a % is not followed by two hex digits.
bool PercentDecode(absl::string_view text, std::string* out);

/// 400 for kInvalidArgument, 404 for kNotFound, ...; 500 for what has no status
/// of its own.
int HttpStatusOf(absl::StatusCode code);

}  // namespace parm::oip
