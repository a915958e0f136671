#include "frontend/core/policies/coded_policy.h"
#include "frontend/core/policies/hedge_policy.h"
#include "frontend/core/policies/hybrid_policy.h"
#include "frontend/core/policies/redundancy_policy.h"
#include "frontend/core/policies/replicate_policy.h"

namespace parm::core {

Duration UsualTime(const Turn& turn, const Batch& batch, PolicyHost& host) {
  const std::optional<LatencyTrigger::Delays> delays =
      host.DelaysOf(turn, batch);
  return delays ? delays->median : host.MeanService(batch.model, batch.samples);
}

std::unique_ptr<RedundancyPolicy> CreatePolicy(const ModelOptions& model) {
  switch (model.policy) {
    case PolicyKind::kCoded:
    case PolicyKind::kBackup:
      return std::make_unique<CodedPolicy>();
    case PolicyKind::kHedge:
      return std::make_unique<HedgePolicy>(model);
    case PolicyKind::kReplicate:
      return std::make_unique<ReplicatePolicy>(model);
    case PolicyKind::kHybrid:
      return std::make_unique<HybridPolicy>(model);
    case PolicyKind::kNone:
      break;
  }
  return std::make_unique<RedundancyPolicy>();
}

}  // namespace parm::core
