#include "frontend/model_notices.h"

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "frontend/answer_builder.h"
#include "spdlog/spdlog.h"

namespace parm {

uint64_t ModelNotices::CheckDefaults(const ModelCatalog& catalog) {
  uint64_t misfits = 0;
  for (size_t i = 0; i < models_.size(); ++i) {
    const CatalogBundle* bundle =
        catalog.Current(ModelId{static_cast<uint32_t>(i)});
    if (!models_[i].has_default_answer || bundle == nullptr ||
        bundle == std::exchange(default_checked_[i], bundle)) {
      continue;
    }
    const absl::Status fits = CheckDefault(*bundle, default_answers_[i]);
    if (fits.ok()) continue;
    ++misfits;
    spdlog::error("model '{}' has no default answer: {}", models_[i].name,
                  std::string(fits.message()));
  }
  return misfits;
}

void ModelNotices::NoteGate(ModelId model,
                            const core::ModelCounters& counters) {
  const bool closed = counters.gate_closed > counters.gate_opened;
  if (closed == gate_closed_[Raw(model)]) return;
  gate_closed_[Raw(model)] = closed;
  const core::ModelOptions& options = models_[Raw(model)];
  spdlog::log(
      closed ? spdlog::level::err : spdlog::level::info,
      "model '{}': reconstructions {}: late originals agree with {:.3f} "
      "of them, decode.min_agreement is {}",
      options.name, closed ? "stop" : "are back",
      counters.agreement.value_or(0), options.decode.min_agreement.value_or(0));
}

}  // namespace parm
