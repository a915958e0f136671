#pragma once

// `parm-train berrut`: what a training-free code would answer with a deployed
// bundle. Its coded queries replace the members and every worker runs the
// deployed model, so nothing is trained, and every answer is approximate.
// Measured only: no frontend serves it.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "parity_trainer/command_options.h"
#include "parity_trainer/dataset.h"
#include "parity_trainer/deployed_model.h"

namespace parm {

struct BerrutCommandOptions {
  DataOptions data;
  uint64_t seed = 1;     // of the calibration groups
  std::string deployed;  // a bundle's directory
  int k = 4;
  int stragglers = 1;  // workers beyond k, and answers that are missing
  std::string json_file;
};

/// What one way to use the code is worth.
struct TrainingFreeAccuracy {
  std::string variant;
  std::string weights;  // of the decoder, or "fitted"
  double accuracy = 0;  // over all queries and all patterns of missing answers
  double standard_error = 0;
};

/// Every variant: as published, with better nodes and weights, and with a
/// decoder fitted on training groups besides.
/// Errors: as RunBerrutCommand, but for reading and writing files.
absl::StatusOr<std::vector<TrainingFreeAccuracy>> MeasureTrainingFree(
    const DeployedModel& deployed, const Dataset& data, int k, int stragglers,
    uint64_t seed);

/// Accuracy over all queries and all patterns of missing answers: as published,
/// with better nodes and weights, and with a decoder fitted on training groups
/// besides. Returns a line for each.
/// Errors: kInvalidArgument for a k or number of stragglers that the code does
/// not take, a data set smaller than a group or a model whose input is not
/// FP32; else as LoadDeployedModel, LoadDataFor, ModelRunner::Run and
/// WriteFileAtomically.
absl::StatusOr<std::string> RunBerrutCommand(
    const BerrutCommandOptions& options);

}  // namespace parm
