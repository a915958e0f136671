#pragma once

// Policy `coded`: every batch whose layout is known joins a coding group, also
// one of exact-only queries (it protects its siblings, though its own answer is
// never a reconstruction). Parity queries are sent at the redundant priority.

#include "frontend/core/event.h"
#include "frontend/core/policies/redundancy_policy.h"

namespace parm::core {

class CodedPolicy final : public RedundancyPolicy {
 public:
  bool JoinsGroup(const Batch& batch,
                  const PolicyHost& /*host*/) const override {
    return IsCodable(batch.signature);
  }
};

}  // namespace parm::core
