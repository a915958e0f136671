#pragma once

// The transport to model servers that nobody changed (Triton, MLServer,
// KServe): a ServerPool for each entry of `workers`, inside the shard's loop.
// The frontend loop sees workers.

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "boost/asio/io_context.hpp"
#include "frontend/upstream/oip/name_resolver.h"
#include "frontend/upstream/oip/oip_options.h"
#include "frontend/upstream/oip/oip_server.h"
#include "frontend/upstream/oip/server_pool.h"
#include "frontend/upstream/upstream_listener.h"
#include "frontend/upstream/worker_transport.h"

namespace parm {

/// Threads: the loop's only; callbacks come on it, never inside a call here.
class OipUpstream final : public WorkerTransport {
 public:
  /// Reads the bundles and the files of endpoints, and starts asking the
  /// servers, in any state they may be. `resolver`: null for the system's.
  /// Errors: as LoadKnownBundle, naming the bundle; as ReadEndpointsFile.
  static absl::StatusOr<std::unique_ptr<OipUpstream>> Create(
      boost::asio::io_context& loop, OipOptions options,
      UpstreamListener* listener,
      std::unique_ptr<NameResolver> resolver = nullptr);

  /// Reads the file of endpoints of options.servers[entry] anew. One that is
  /// wrong, or names an endpoint of another entry, changes nothing, and the log
  /// says why.
  void RereadEndpoints(size_t entry);

  absl::Status SendInfer(WorkerId worker, const InferTask& task,
                         absl::Span<const oip::Tensor> tensors) override;
  absl::Status SendCancel(WorkerId worker, TaskId task) override;
  absl::Status SendProbe(WorkerId worker) override;

  const OipCounters& counters() const { return counters_; }

 private:
  explicit OipUpstream(OipOptions options) : options_(std::move(options)) {}
  // Null: the place is vacant.
  OipServer* At(WorkerId worker);
  absl::StatusOr<std::vector<ServerEndpoint>> ReadEndpoints(size_t entry) const;

  const OipOptions options_;
  OipCounters counters_;
  bool anyone_asks_ = false;  // see BundleWatch
  std::unique_ptr<NameResolver> resolver_;
  std::vector<std::unique_ptr<ServerPool>> pools_;  // as options_.servers
  std::vector<std::pair<ServerPool*, uint32_t>> places_;
};

}  // namespace parm
