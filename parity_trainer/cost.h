#pragma once

// What a redundant task costs on this machine, against one ordinary query.

#include "absl/status/statusor.h"
#include "parity_trainer/host_tensor.h"
#include "parity_trainer/model_runner.h"

namespace parm {

/// Median service time of `model` on `input` over that of `reference` on
/// `reference_input`. Both take turns, so that a busy machine slows both.
/// Errors: as ModelRunner::Run.
absl::StatusOr<double> MeasureRelativeCost(const ModelRunner& model,
                                           const HostTensor& input,
                                           const ModelRunner& reference,
                                           const HostTensor& reference_input);

}  // namespace parm
