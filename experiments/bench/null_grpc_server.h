#pragma once

// NullServer over gRPC: the same answers to GRPCInferenceService, always as raw
// contents. What large messages cost is the library's alone: a query is not
// looked at unless somebody wants to.

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "experiments/bench/null_server.h"

namespace parm {

/// Runs on the library's threads from Create to the destructor.
class NullGrpcServer {
 public:
  /// Errors: kUnavailable if the port is in use.
  static absl::StatusOr<std::unique_ptr<NullGrpcServer>> Create(
      NullServerOptions options);
  /// Ends calls that nobody answered with CANCELLED.
  ~NullGrpcServer();

  uint16_t port() const;

 private:
  class Impl;
  explicit NullGrpcServer(std::unique_ptr<Impl> impl);

  const std::unique_ptr<Impl> impl_;
};

}  // namespace parm
