#include "frontend/core/frontend_core.h"

#include <utility>

#include "base/status_macros.h"
#include "frontend/core/core_engine.h"
#include "frontend/core/core_state.h"
#include "frontend/core/policies/redundancy_policy.h"

namespace parm::core {

absl::StatusOr<std::unique_ptr<FrontendCore>> FrontendCore::Create(
    CoreOptions options) {
  PARM_RETURN_IF_ERROR(ValidateOptions(options));
  return std::make_unique<CoreEngine>(std::move(options), CreatePolicy);
}

}  // namespace parm::core
