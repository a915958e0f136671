#pragma once

// The training that `parity` and `backup` have in common: a network of ours
// learns what a deployed bundle answers for coded queries.

#include <string>

#include "absl/status/statusor.h"
#include "encoder/code.h"
#include "parity_trainer/command_options.h"
#include "parity_trainer/dataset.h"
#include "parity_trainer/deployed_model.h"
#include "parity_trainer/recipe.h"
#include "parity_trainer/training_settings.h"
#include "proto/bundle.h"

namespace parm {

struct DistillationJob {
  std::string label;  // of the progress bar, and of the checkpoint
  const Code* code = nullptr;
  int parity_index = 0;
  std::string arch;  // empty: the deployed model's
  double width = 1;  // share of its channels
  Recipe defaults;
  std::string checkpoint;
};

/// The trained network, and in `*training` how it was made.
/// Errors: kInvalidArgument if no architecture is named and the deployed
/// model's is none of ours; as LoadBundle for a bundle to start from; else as
/// ChooseRecipe, ModelRunner::RunAll and TrainParity; kCancelled if interrupted
/// (the checkpoint holds the work).
absl::StatusOr<TrainedModel> RunDistillation(const DistillationJob& job,
                                             const TrainingOptions& options,
                                             const DeployedModel& deployed,
                                             const Dataset& data,
                                             bundle::Training* training);

}  // namespace parm
