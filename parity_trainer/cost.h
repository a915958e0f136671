#pragma once

// What a redundant task costs on this machine, against one ordinary query.

#include "absl/status/statusor.h"
#include "parity_trainer/host_tensor.h"
#include "parity_trainer/model_runner.h"

namespace parm {

/// Service time of `model` on `input` over that of `reference` on
/// `reference_input`. Both take turns, and the time is that which a tenth of
/// their runs stay below: where other work takes the CPU in turns too, a median
/// can hold its slices in one of them and not in the other.
/// Errors: as ModelRunner::Run.
absl::StatusOr<double> MeasureRelativeCost(const ModelRunner& model,
                                           const HostTensor& input,
                                           const ModelRunner& reference,
                                           const HostTensor& reference_input);

}  // namespace parm
