#pragma once

// `parm-train deployed`: a deployed bundle, from a network trained here or from
// a TorchScript file that the user has.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "parity_trainer/command_options.h"

namespace parm {

struct DeployedOptions {
  DataOptions data;
  TrainingOptions training;
  std::string arch = "mlp";
  std::string model_file;  // a TorchScript file; then nothing is trained
  /// Instead of data, for a model file: it is tried on samples of this shape
  /// that hold random values. Empty: data are named.
  std::vector<int64_t> sample_shape;
  std::string name;  // default: the last part of `out`
  std::string version = "1";
  std::string datatype = "fp32";  // of the wire input: fp32 or uint8
  std::string out;
};

/// Returns a line for the user.
/// Errors: kAlreadyExists as CheckOutput; kCancelled if interrupted (the
/// checkpoint holds the work); kInvalidArgument if not exactly one of data and
/// sample shape is given, or there is nothing to train with; else as
/// LoadDataset, TrainDeployed, ModelRunner::RunAll and WriteBundle.
absl::StatusOr<std::string> RunDeployedCommand(const DeployedOptions& options);

}  // namespace parm
