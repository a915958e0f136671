#include "frontend/core/policies/coded_policy.h"
#include "frontend/core/policies/hedge_policy.h"
#include "frontend/core/policies/redundancy_policy.h"

namespace parm::core {

std::unique_ptr<RedundancyPolicy> CreatePolicy(const ModelOptions& model) {
  switch (model.policy) {
    case PolicyKind::kCoded:
      return std::make_unique<CodedPolicy>();
    case PolicyKind::kHedge:
      return std::make_unique<HedgePolicy>(model);
    case PolicyKind::kNone:
      break;
  }
  return std::make_unique<RedundancyPolicy>();
}

}  // namespace parm::core
