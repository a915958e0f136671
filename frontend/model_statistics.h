#pragma once

// What clients may ask of a model's past (Triton's extension `statistics`), out
// of what the core and the loop count; beside the path of a query.

#include <vector>

#include "absl/types/span.h"
#include "frontend/core/core_counters.h"
#include "frontend/loop_counters.h"
#include "proto/oip/model_statistics.h"

namespace parm {

/// success and fail: from arrival to answer, with and without one. queue: from
/// arrival to first dispatch. What workers do inside is not told apart.
oip::ModelStatistics StatisticsOf(const core::ModelCounters& core,
                                  const ModelUse& use);

/// Adds to `models` what was counted before of models of the same names.
void AddEarlier(absl::Span<const oip::ModelStatistics> earlier,
                std::vector<oip::ModelStatistics>* models);

/// Adds what an ended configuration counted to `carried`, by name.
void CarryOn(absl::Span<const oip::ModelStatistics> ended,
             std::vector<oip::ModelStatistics>* carried);

}  // namespace parm
