#pragma once

// What a protocol listener asks of the rest of the frontend: steps [1] and [7]
// of a query's life. The frontend loop implements it; listeners only translate.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/tensor.h"
#include "proto/oip/messages.h"
#include "proto/oip/model_statistics.h"

namespace parm {

/// Identifies one query for QueryService::Abandon; 0 is none.
enum class QueryHandle : uint64_t {};

/// The one answer of a query.
struct QueryReply {
  /// OK, or why not: kInvalidArgument 400, kPermissionDenied 403, kNotFound
  /// 404, kOutOfRange 413, kUnavailable and kResourceExhausted 503,
  /// kDeadlineExceeded 504, kUnimplemented 501, kInternal and any other 500.
  absl::Status status;
  /// If OK: all outputs of the model, unfiltered, in the model's order; id and
  /// parameters as the client is to see them.
  oip::InferResponse response;
  /// "exact", "reconstructed", ...: x-parm-source; empty for errors.
  std::string source;
  std::optional<float> confidence;
  /// Seconds for Retry-After on 503; 0: none.
  int retry_after_s = 0;
};

using oip::ModelMetadata;

/// Threads: called on the shard's loop thread only; callbacks come on it too.
class QueryService {
 public:
  using Done = std::function<void(QueryReply)>;

  virtual ~QueryService() = default;

  /// Takes a parsed request. `done` runs exactly once, never inside this call,
  /// unless Abandon is called first. Validation against the model's metadata
  /// (names, datatypes, shapes, counts) is the service's.
  virtual QueryHandle Infer(oip::InferRequest request, Done done) = 0;

  /// The client has gone; `done` will not run.
  virtual void Abandon(QueryHandle handle) = 0;

  /// True if every configured model has a live worker and it is not draining.
  virtual bool Ready() const = 0;

  /// Errors: kNotFound for an unknown model or version.
  virtual absl::StatusOr<bool> ModelReady(const std::string& model,
                                          const std::string& version) const = 0;

  /// Errors: kNotFound for an unknown model or version; kUnavailable while no
  /// worker has told what the model looks like.
  virtual absl::StatusOr<ModelMetadata> Metadata(
      const std::string& model, const std::string& version) const = 0;

  virtual std::vector<std::string> ModelNames() const = 0;

  /// What was counted of one model since the start; `model` empty: of each.
  /// Errors: kNotFound for an unknown model or version.
  virtual absl::StatusOr<std::vector<oip::ModelStatistics>> Statistics(
      const std::string& model, const std::string& version) const = 0;

  /// The Prometheus text exposition of everything counted.
  virtual std::string MetricsText() = 0;
};

}  // namespace parm
