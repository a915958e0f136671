#pragma once

// `parm-train parity`: a parity bundle for a deployed one, trained or, for
// `pack`, made of a model that exists.

#include <string>

#include "absl/status/statusor.h"
#include "parity_trainer/command_options.h"

namespace parm {

struct ParityOptions {
  DataOptions data;
  TrainingOptions training;
  std::string deployed;  // a bundle's directory
  std::string scheme = "sum";
  int k = 2;
  int r = 1;               // parity models, trained one after the other
  std::string arch;        // default: the deployed model's
  bool half = false;       // convolutions in BF16 (half_precision.h)
  std::string model_file;  // pack only: a TorchScript file; default: deployed's
  std::string out;         // a bundle; with r > 1 a folder of bundles 0, 1 ..
};

/// Returns a line for the user.
/// Errors: kAlreadyExists and kInvalidArgument as CheckOutput; kCancelled if
/// interrupted (the checkpoint holds the work); else as LoadBundle, CreateCode,
/// LoadDataset, RunDistillation, EvaluateErasures and WriteBundles.
absl::StatusOr<std::string> RunParityCommand(const ParityOptions& options);

}  // namespace parm
