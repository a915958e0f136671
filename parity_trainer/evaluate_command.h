#pragma once

// `parm-train evaluate`: accuracies of a deployed bundle and of what a parity
// bundle reconstructs, over every erasure of the test set.

#include <string>

#include "absl/status/statusor.h"
#include "parity_trainer/command_options.h"

namespace parm {

struct EvaluateOptions {
  DataOptions data;
  std::string deployed;
  std::string parity;        // empty: A_a alone
  std::string json_file;     // {"a_a": .., "a_d": {"1": ..}, ...}
  std::string picture_file;  // SVG: reliability, accuracy against coverage
  double require_a_d = 0;    // fraction that A_d at one loss must reach
  std::string logits_file;   // the deployed model's test outputs, .npy
};

/// Returns a line for the user, a second one if the parity is unsuitable.
/// Errors: kFailedPrecondition if the parity bundle was made for another
/// deployed one; kOutOfRange, after all files are written, if A_d falls short
/// of what is required; kInvalidArgument if it is required without a parity
/// bundle; else as LoadBundle, LoadDataset, EvaluateErasures and
/// WriteFileAtomically.
absl::StatusOr<std::string> RunEvaluateCommand(const EvaluateOptions& options);

}  // namespace parm
