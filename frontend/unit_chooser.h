#pragma once

// Which of its units each model uses now, by what its workers serve and by the
// figures in those bundles; unit_choice.h has the rule. Step [2] of a query's
// life: a query is fixed to its unit when it is admitted, as it is to its
// deployed bundle, so groups under way keep their code.

#include <cstdint>
#include <optional>
#include <vector>

#include "base/ids.h"
#include "encoder/code.h"
#include "frontend/core/event.h"
#include "frontend/model_catalog.h"
#include "frontend/unit_choice.h"

namespace parm {

/// Threads: the loop's only.
class UnitChooser {
 public:
  /// Of the catalog's models; it outlives the chooser.
  explicit UnitChooser(const ModelCatalog& catalog);

  /// Of new queries. The first that is listed, while none of a model's units is
  /// served; then the last that was.
  uint8_t UnitOf(ModelId model) const { return chosen_[Raw(model)].unit; }

  /// By ModelId; null: the model is not coded.
  std::vector<const CodeSpec*> Specs() const;

  /// Chooses anew if the catalog has changed: what the core is to hear. Logs
  /// what it is, and why. Good until the next call.
  /// Cost: nothing to speak of while the catalog has not changed.
  const std::vector<core::UnitChosen>& Update();

 private:
  /// A unit that is served, and by bundles of which role.
  struct Candidate {
    uint8_t unit = 0;
    core::BundleRole role{};
  };
  void Choose(ModelId model);
  std::optional<UnitFigures> FiguresOf(ModelId model,
                                       const Candidate& candidate) const;

  const ModelCatalog& catalog_;
  std::vector<core::UnitChosen> chosen_;  // by ModelId
  // By ModelId: whether what was told last is beyond max_accuracy_drop.
  std::vector<std::optional<bool>> told_beyond_;
  std::vector<core::UnitChosen> news_;
  uint64_t seen_changes_ = 0;
};

}  // namespace parm
