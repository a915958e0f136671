#pragma once

// What may be sent for a coding group: a code with its k and r, at a price.
// docs/policies/coded.md

#include <memory>
#include <optional>

#include "encoder/code.h"
#include "frontend/core/event.h"

namespace parm::core {

/// A code that a model's queries may come with.
struct RedundancyUnit {
  std::shared_ptr<const Code> code;
  /// Members side by side: a backup may answer it, and fewer cost less.
  bool packs = false;
  double cost = 0;  // of a full group's parity queries, in queries
  std::optional<BundleRole> answered_by;  // unset: any that fits
};

/// What a unit costs as long as nobody has measured it.
inline double StatedCost(const CodeSpec& spec) {
  return spec.scheme == "pack" ? spec.k : spec.r;
}

}  // namespace parm::core
