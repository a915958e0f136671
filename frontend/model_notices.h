#pragma once

// What the log tells an operator about a model, once each time that it changes:
// a default answer that does not fit it, reconstructions that stop or are back.

#include <cstdint>
#include <vector>

#include "base/ids.h"
#include "frontend/core/core_counters.h"
#include "frontend/core/core_options.h"
#include "frontend/model_catalog.h"

namespace parm {

/// Needs: what it is made with outlives it.
class ModelNotices {
 public:
  ModelNotices(const std::vector<core::ModelOptions>& models,
               const std::vector<std::vector<float>>& default_answers)
      : models_(models),
        default_answers_(default_answers),
        default_checked_(models.size()),
        gate_closed_(models.size()) {}

  /// Holds defaults against the bundles that are served: the configuration
  /// cannot tell what a model answers. Returns how many newly do not fit.
  uint64_t CheckDefaults(const ModelCatalog& catalog);

  /// After the model's decodes were compared with late originals.
  void NoteGate(ModelId model, const core::ModelCounters& counters);

 private:
  const std::vector<core::ModelOptions>& models_;
  const std::vector<std::vector<float>>& default_answers_;
  // By ModelId: the bundle that the default answer was held against last.
  std::vector<const CatalogBundle*> default_checked_;
  std::vector<bool> gate_closed_;  // by ModelId, as logged
};

}  // namespace parm
