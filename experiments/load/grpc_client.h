#pragma once

// The load generator's calls over gRPC. The thread that sends on schedule hands
// them to the library; another waits for their ends and notes when they came,
// so that nobody need be woken for them.

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "experiments/load/load_client.h"
#include "proto/oip/messages.h"

namespace parm {

class GrpcClient : public LoadClient {
 public:
  /// `listener` must outlive the client.
  /// Errors: kInvalidArgument for a host that is no address.
  static absl::StatusOr<std::unique_ptr<GrpcClient>> Create(
      const LoadClientOptions& options, Listener* listener);
  /// Cancels what is under way.
  ~GrpcClient() override;

  bool Connect(Time until) override;
  bool Send(Token token, absl::string_view head,
            absl::string_view body) override;
  int num_in_flight() const override;
  /// Sleeps until then, or a millisecond: replies tell when they came.
  void RunUntil(Time until) override;
  void Poll() override;

 private:
  class Calls;
  explicit GrpcClient(std::unique_ptr<Calls> calls);

  std::unique_ptr<Calls> calls_;
};

/// What the server says about a model.
/// Errors: kInvalidArgument for a host that is no address; kUnavailable with
/// what the server or the library says; kDataLoss for whatever is no such
/// reply.
absl::StatusOr<oip::ModelMetadata> GrpcModelMetadata(
    const LoadClientOptions& options, absl::string_view model);

}  // namespace parm
