#include "frontend/upstream/oip/oip_upstream.h"

#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "spdlog/spdlog.h"

namespace parm {
namespace {

using Bundles = std::map<std::string, std::shared_ptr<const KnownBundle>>;
using Known = std::vector<std::shared_ptr<const KnownBundle>>;

absl::StatusOr<Known> BundlesOf(const OipServerOptions& entry,
                                Bundles* bundles) {
  Known out;
  for (const OipServedModel& model : entry.serves) {
    std::shared_ptr<const KnownBundle>& known = (*bundles)[model.bundle];
    if (known == nullptr && !model.bundle.empty()) {
      PARM_ASSIGN_OR_RETURN(known, LoadKnownBundle(model.bundle));
    }
    out.push_back(known);
  }
  return out;
}

}  // namespace

absl::StatusOr<std::unique_ptr<OipUpstream>> OipUpstream::Create(
    boost::asio::io_context& loop, OipOptions options,
    UpstreamListener* listener, std::unique_ptr<NameResolver> resolver) {
  std::unique_ptr<OipUpstream> upstream(new OipUpstream(std::move(options)));
  OipUpstream& out = *upstream;
  out.resolver_ =
      resolver == nullptr ? MakeSystemResolver(loop) : std::move(resolver);
  Bundles bundles;
  for (size_t i = 0; i < out.options_.servers.size(); ++i) {
    const OipServerOptions& entry = out.options_.servers[i];
    PARM_ASSIGN_OR_RETURN(Known known, BundlesOf(entry, &bundles));
    PARM_ASSIGN_OR_RETURN(std::vector<ServerEndpoint> endpoints,
                          out.ReadEndpoints(i));
    OipServer::Parts parts{.loop = &loop,
                           .all = &out.options_,
                           .known = std::move(known),
                           .listener = listener,
                           .counters = &out.counters_,
                           .anyone_asks = &out.anyone_asks_};
    const auto parts_of = [parts](WorkerId worker) {
      OipServer::Parts server = parts;
      server.worker = worker;
      return server;
    };
    out.pools_.push_back(std::make_unique<ServerPool>(
        ServerPool::Parts{
            .loop = &loop,
            .entry = &entry,
            .all = &out.options_,
            .first_worker = out.options_.first_worker +
                            static_cast<uint32_t>(out.places_.size()),
            .parts_of = parts_of,
            .listener = listener,
            .counters = &out.counters_,
            .resolver = out.resolver_.get()},
        std::move(endpoints)));
    for (uint32_t place = 0; place < NumPlaces(entry); ++place) {
      out.places_.emplace_back(out.pools_.back().get(), place);
    }
  }
  return upstream;
}

// ---- Files of endpoints --------------------------------------------------

absl::StatusOr<std::vector<ServerEndpoint>> OipUpstream::ReadEndpoints(
    size_t entry) const {
  const OipServerOptions& options = options_.servers.at(entry);
  if (options.endpoints_file.empty()) {
    return std::vector<ServerEndpoint>{
        {.text = options.endpoint, .url = options.url}};
  }
  PARM_ASSIGN_OR_RETURN(std::vector<ServerEndpoint> endpoints,
                        ReadEndpointsFile(options));
  for (const ServerEndpoint& endpoint : endpoints) {
    for (size_t other = 0; other < pools_.size(); ++other) {
      if (other == entry || !pools_[other]->Has(endpoint.text)) continue;
      return absl::InvalidArgumentError(
          absl::StrCat(options.endpoints_file, ":", endpoint.line,
                       ": endpoint given twice: ", endpoint.text));
    }
  }
  return endpoints;
}

void OipUpstream::RereadEndpoints(size_t entry) {
  absl::StatusOr<std::vector<ServerEndpoint>> endpoints = ReadEndpoints(entry);
  if (!endpoints.ok()) {
    ++counters_.endpoints_files_refused;
    spdlog::error("endpoints not read anew, the servers stay: {}",
                  std::string(endpoints.status().message()));
    return;
  }
  ++counters_.endpoints_files_applied;
  spdlog::info("{} says {} endpoints",
               options_.servers.at(entry).endpoints_file, endpoints->size());
  pools_.at(entry)->SetEndpoints(*std::move(endpoints));
}

// ---- Tasks ---------------------------------------------------------------

OipServer* OipUpstream::At(WorkerId worker) {
  const auto& [pool, place] = places_.at(Raw(worker) - options_.first_worker);
  return pool->At(place);
}

absl::Status OipUpstream::SendInfer(WorkerId worker, const InferTask& task,
                                    absl::Span<const oip::Tensor> tensors) {
  OipServer* const server = At(worker);
  if (server == nullptr) return absl::UnavailableError("the server has left");
  return server->SendInfer(task, tensors);
}

absl::Status OipUpstream::SendCancel(WorkerId worker, TaskId task) {
  if (OipServer* const server = At(worker)) server->Cancel(task);
  return absl::OkStatus();
}

absl::Status OipUpstream::SendProbe(WorkerId worker) {
  if (OipServer* const server = At(worker)) server->CheckSoon();
  return absl::OkStatus();
}

}  // namespace parm
