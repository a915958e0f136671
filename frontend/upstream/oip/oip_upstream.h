#pragma once

// The transport to model servers that nobody changed (Triton, MLServer,
// KServe): one OipServer for each, inside the shard's loop. The frontend loop
// sees workers.

#include <memory>

#include "absl/status/statusor.h"
#include "boost/asio/io_context.hpp"
#include "frontend/upstream/oip/oip_options.h"
#include "frontend/upstream/oip/oip_server.h"
#include "frontend/upstream/upstream_listener.h"
#include "frontend/upstream/worker_transport.h"

namespace parm {

/// Threads: the loop's only; callbacks come on it, never inside a call here.
class OipUpstream final : public WorkerTransport {
 public:
  /// Reads the bundles and starts asking the servers, in any state they may be.
  /// Errors: as LoadKnownBundle, naming the bundle.
  static absl::StatusOr<std::unique_ptr<OipUpstream>> Create(
      boost::asio::io_context& loop, OipOptions options,
      UpstreamListener* listener);

  absl::Status SendInfer(WorkerId worker, const InferTask& task,
                         absl::Span<const oip::Tensor> tensors) override;
  absl::Status SendCancel(WorkerId worker, TaskId task) override;
  absl::Status SendProbe(WorkerId worker) override;

  const OipCounters& counters() const { return counters_; }

 private:
  explicit OipUpstream(OipOptions options) : options_(std::move(options)) {}
  OipServer& At(WorkerId worker);

  const OipOptions options_;
  OipCounters counters_;
  std::vector<std::unique_ptr<OipServer>> servers_;
};

}  // namespace parm
