#include "frontend/model_directory.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "frontend/model_statistics.h"

namespace parm {

std::vector<std::string> ModelDirectory::Names() const {
  std::vector<std::string> names;
  for (const core::ModelOptions& model : models_) names.push_back(model.name);
  return names;
}

absl::StatusOr<ModelId> ModelDirectory::Find(const std::string& model,
                                             const std::string& version) const {
  const std::optional<ModelId> found = catalog_.FindModel(model);
  if (!found.has_value()) {
    return absl::NotFoundError(
        absl::StrCat("parm-frontend: unknown model '", model, "'"));
  }
  const CatalogBundle* bundle = catalog_.LastKnown(*found);
  if (!version.empty() && (bundle == nullptr || bundle->version != version)) {
    return absl::NotFoundError(absl::StrCat("parm-frontend: unknown version '",
                                            version, "' of model '", model,
                                            "'"));
  }
  return *found;
}

bool ModelDirectory::HasLiveWorker(ModelId model, Time now) const {
  for (size_t i = 0; i < workers_.size(); ++i) {
    const WorkerId worker{static_cast<uint32_t>(i)};
    if (workers_.StateOf(worker, now) == WorkerState::kUp &&
        catalog_.Serves(worker, model)) {
      return true;
    }
  }
  return false;
}

bool ModelDirectory::Ready(Time now) const {
  for (size_t i = 0; i < models_.size(); ++i) {
    if (!HasLiveWorker(ModelId{static_cast<uint32_t>(i)}, now)) return false;
  }
  return true;
}

absl::StatusOr<ModelMetadata> ModelDirectory::Metadata(
    const std::string& model, const std::string& version) const {
  PARM_ASSIGN_OR_RETURN(const ModelId found, Find(model, version));
  const CatalogBundle* bundle = catalog_.LastKnown(found);
  if (bundle == nullptr) {
    return absl::UnavailableError(absl::StrCat(
        "parm-frontend: no worker serves model '", model, "' yet"));
  }
  ModelMetadata metadata{
      .name = model,
      .platform = "parm",
      .inputs = bundle->inputs,
      .outputs = bundle->outputs,
      // 0: it takes no batches.
      .max_batch_size =
          bundle->batched ? models_[Raw(found)].max_batch_size : 0};
  if (!bundle->version.empty()) metadata.versions.push_back(bundle->version);
  return metadata;
}

absl::StatusOr<std::vector<oip::ModelStatistics>> ModelDirectory::Statistics(
    const std::string& model, const std::string& version,
    const core::CoreCounters& core, const LoopCounters& loop) const {
  size_t first = 0;
  size_t end = models_.size();
  if (!model.empty()) {
    PARM_ASSIGN_OR_RETURN(const ModelId found, Find(model, version));
    first = Raw(found);
    end = first + 1;
  }
  std::vector<oip::ModelStatistics> out;
  for (size_t i = first; i < end; ++i) {
    out.push_back(StatisticsOf(core.models.at(i), loop.use.at(i)));
    out.back().name = models_[i].name;
    const CatalogBundle* bundle =
        catalog_.LastKnown(ModelId{static_cast<uint32_t>(i)});
    if (bundle != nullptr) out.back().version = bundle->version;
  }
  return out;
}

absl::Status ModelDirectory::CheckTensorBytes(ModelId model,
                                              uint64_t bytes) const {
  if (bytes <= workers_.smallest_message_limit()) return absl::OkStatus();
  for (size_t i = 0; i < workers_.size(); ++i) {
    const WorkerId worker{static_cast<uint32_t>(i)};
    const uint64_t limit = workers_.Get(worker).max_message_bytes;
    if (limit == 0 || bytes <= limit || !catalog_.Serves(worker, model)) {
      continue;
    }
    return absl::OutOfRangeError(absl::StrCat(
        "parm-frontend: an input is larger than the workers of model '",
        models_[Raw(model)].name, "' take: got ", bytes,
        " bytes, want at most ", limit));
  }
  return absl::OkStatus();
}

}  // namespace parm
