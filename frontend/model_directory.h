#pragma once

// What clients may know of the configured models: which there are, whether a
// live worker serves them, what they look like, how large an input may be. Read
// off the model catalog and the worker board; step [1] of a query's life asks,
// and so do the metadata and health endpoints.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"
#include "base/time.h"
#include "frontend/core/core_counters.h"
#include "frontend/core/core_options.h"
#include "frontend/loop_counters.h"
#include "frontend/model_catalog.h"
#include "frontend/serve/query_service.h"
#include "frontend/worker_board.h"

namespace parm {

/// Needs: what it is made with outlives it.
class ModelDirectory {
 public:
  ModelDirectory(const std::vector<core::ModelOptions>& models,
                 const ModelCatalog& catalog, const WorkerBoard& workers)
      : models_(models), catalog_(catalog), workers_(workers) {}

  std::vector<std::string> Names() const;

  /// `version`: empty for whichever is served.
  /// Errors: kNotFound for a model or version that is not there.
  absl::StatusOr<ModelId> Find(const std::string& model,
                               const std::string& version) const;

  bool HasLiveWorker(ModelId model, Time now) const;
  /// Every model has one.
  bool Ready(Time now) const;

  /// Errors: as Find; kUnavailable before any worker served the model.
  absl::StatusOr<ModelMetadata> Metadata(const std::string& model,
                                         const std::string& version) const;

  /// `model` empty: of all. As StatisticsOf.
  /// Errors: as Find.
  absl::StatusOr<std::vector<oip::ModelStatistics>> Statistics(
      const std::string& model, const std::string& version,
      const core::CoreCounters& core, const LoopCounters& loop) const;

  /// Whether every worker of the model takes a tensor of so many bytes: one
  /// that does not would end the connection over it.
  /// Errors: kOutOfRange if not.
  absl::Status CheckTensorBytes(ModelId model, uint64_t bytes) const;

 private:
  const std::vector<core::ModelOptions>& models_;
  const ModelCatalog& catalog_;
  const WorkerBoard& workers_;
};

}  // namespace parm
