#pragma once

// Section `workers` of frontend.yaml: parm-workers over ZeroMQ, and model
// servers of other people. Part of frontend_config.cc.

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

}  // namespace parm
