#pragma once

// Section `workers` of frontend.yaml: parm-workers over ZeroMQ, and model
// servers of other people; and the sections that say which of them takes a
// task. Part of frontend_config.cc.

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "frontend/config_source.h"
#include "frontend/frontend_config.h"

namespace parm::config {
class FrontendConfig;
}  // namespace parm::config

namespace parm {

/// Fills in `upstream`, `oip`, and what `catalog` and `core` know of workers:
/// those over ZeroMQ first, then the servers.
/// Errors: kInvalidArgument "FILE:LINE: ..." as ParseFrontendConfig says.
absl::Status ResolveWorkers(const config::FrontendConfig& config,
                            const ConfigSource& source, FrontendOptions* out);

/// What the places of workers are called at the start, by WorkerId; empty: a
/// place that is vacant.
std::vector<std::string> EndpointsOf(const FrontendOptions& options);

/// Fills in which worker takes a task, and when one gets none: sections
/// `balancing` and `outlier_detection`.
/// Errors: as ResolveWorkers.
absl::Status ResolveWorkerChoice(const config::FrontendConfig& config,
                                 const ConfigSource& source,
                                 core::CoreOptions* out);

}  // namespace parm
