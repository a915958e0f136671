#pragma once

// Section `redundancy` of a model in frontend.yaml: its policy, and what each
// policy may be told. Part of frontend_config.cc.

#include "absl/status/status.h"
#include "frontend/config_source.h"
#include "frontend/core/core_options.h"

namespace parm::config {
class Redundancy;
}  // namespace parm::config

namespace parm {

/// `model` has its deadline already. `model_path`: where the model stands.
/// Errors: kInvalidArgument "FILE:LINE: ..." as ParseFrontendConfig says.
absl::Status ResolveRedundancy(const config::Redundancy& redundancy,
                               const ConfigPath& model_path,
                               const ConfigSource& source,
                               core::ModelOptions* model);

}  // namespace parm
