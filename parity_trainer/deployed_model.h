#pragma once

// A deployed bundle, loaded and checked against the data it is to be measured
// on. The first thing that `parity` and `evaluate` do.

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "parity_trainer/command_options.h"
#include "parity_trainer/dataset.h"
#include "parity_trainer/model_runner.h"
#include "proto/bundle.h"

namespace parm {

struct DeployedModel {
  Bundle bundle;
  std::string model_bytes;
  ModelRunner runner;
  TensorSpec input;   // shape[0] is the batch, -1
  TensorSpec output;  // [-1, classes]
};

/// Errors: as LoadBundle; kInvalidArgument if the bundle is no deployed model
/// with one UINT8 or FP32 input and one output [batch, classes].
absl::StatusOr<DeployedModel> LoadDeployedModel(const std::string& directory);

/// Reads the data that the options name and checks that the model takes them:
/// its input's shape, a datatype that they can be sent as, labels within its
/// classes. Unlabelled data get the classes that it answers.
/// Errors: as LoadDataset and ModelRunner::RunAll; kInvalidArgument, naming
/// both sides.
absl::StatusOr<Dataset> LoadDataFor(const DeployedModel& deployed,
                                    const DataOptions& options,
                                    bool with_train);

/// A model file, at most 4 GiB.
absl::StatusOr<std::string> ReadModelFile(const std::string& path);

}  // namespace parm
