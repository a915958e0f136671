#pragma once

// A recipe as the user gives it, and as a bundle's manifest keeps it: both are
// the message bundle.Training, so the `training` section of any bundle is a
// recipe file.

#include <string>

#include "absl/status/statusor.h"
#include "parity_trainer/command_options.h"
#include "parity_trainer/recipe.h"
#include "parity_trainer/training_settings.h"
#include "proto/bundle.h"

namespace parm {

/// The command's defaults, changed by the recipe file if one is named, changed
/// by the flags that were given. Of a file's keys the ones that only tell what
/// came out (arch, seed, seconds, ...) are read over.
/// Errors: kInvalidArgument "FILE:LINE: ..." for a file that is no recipe, or
/// as CheckRecipe; kNotFound if there is none.
absl::StatusOr<Recipe> ChooseRecipe(Recipe defaults,
                                    const TrainingOptions& options);

/// What a manifest says of a training run.
bundle::Training DescribeTraining(const std::string& architecture,
                                  const TrainingSettings& settings,
                                  const TrainedModel& trained);

/// ", 9123 samples/s in 2 processes", for the end of a command's line; empty if
/// nothing was trained.
std::string DescribeSpeed(const bundle::Training& training);

}  // namespace parm
