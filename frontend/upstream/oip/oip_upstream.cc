#include "frontend/upstream/oip/oip_upstream.h"

#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace parm {

absl::StatusOr<std::unique_ptr<OipUpstream>> OipUpstream::Create(
    boost::asio::io_context& loop, OipOptions options,
    UpstreamListener* listener) {
  std::unique_ptr<OipUpstream> upstream(new OipUpstream(std::move(options)));
  std::map<std::string, std::shared_ptr<const KnownBundle>> bundles;
  uint32_t worker = upstream->options_.first_worker;
  for (const OipServerOptions& server : upstream->options_.servers) {
    OipServer::Parts parts{.loop = &loop,
                           .worker = WorkerId{worker++},
                           .options = server,
                           .all = &upstream->options_,
                           .listener = listener,
                           .counters = &upstream->counters_};
    for (const OipServedModel& model : server.serves) {
      std::shared_ptr<const KnownBundle>& known = bundles[model.bundle];
      if (known == nullptr && !model.bundle.empty()) {
        PARM_ASSIGN_OR_RETURN(known, LoadKnownBundle(model.bundle));
      }
      parts.known.push_back(known);
    }
    upstream->servers_.push_back(std::make_unique<OipServer>(std::move(parts)));
  }
  return upstream;
}

OipServer& OipUpstream::At(WorkerId worker) {
  return *servers_.at(Raw(worker) - options_.first_worker);
}

absl::Status OipUpstream::SendInfer(WorkerId worker, const InferTask& task,
                                    absl::Span<const oip::Tensor> tensors) {
  return At(worker).SendInfer(task, tensors);
}

absl::Status OipUpstream::SendCancel(WorkerId worker, TaskId task) {
  At(worker).Cancel(task);
  return absl::OkStatus();
}

absl::Status OipUpstream::SendProbe(WorkerId worker) {
  At(worker).CheckSoon();
  return absl::OkStatus();
}

}  // namespace parm
