#pragma once

// Trains a deployed model: an architecture of ours on labelled samples.

#include <string>

#include "absl/status/statusor.h"
#include "parity_trainer/dataset.h"
#include "parity_trainer/progress.h"
#include "parity_trainer/training_settings.h"

namespace parm {

/// The model takes samples as the wire carries them (the data's own unit, FP32
/// or the data's datatype) and answers logits [batch, classes]. Cross-entropy.
/// Errors: as CheckAugmentation, BuildArchitecture and RunTraining.
absl::StatusOr<TrainedModel> TrainDeployed(const Dataset& data,
                                           const std::string& architecture,
                                           DataType wire_datatype,
                                           const TrainingSettings& settings,
                                           ProgressReporter* progress);

}  // namespace parm
