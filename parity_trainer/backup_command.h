#pragma once

// `parm-train backup`: a narrower network of the deployed model's kind that
// learns to answer as it does. At equal cost it is what every code has to beat:
// `parm-train parity --scheme pack --model BACKUP/model.pt` serves it.

#include <string>

#include "absl/status/statusor.h"
#include "parity_trainer/command_options.h"

namespace parm {

struct BackupOptions {
  DataOptions data;
  TrainingOptions training;
  std::string deployed;  // a bundle's directory
  std::string arch;      // default: the deployed model's
  /// Multiplications for one query over the deployed model's, in (0, 1].
  double work_fraction = 0.25;
  std::string out;
};

/// Returns a line for the user.
/// Errors: kInvalidArgument for a fraction out of range; kAlreadyExists as
/// CheckOutput; kCancelled if interrupted; else as LoadDeployedModel,
/// LoadDataFor, RunDistillation and WriteBundle.
absl::StatusOr<std::string> RunBackupCommand(const BackupOptions& options);

}  // namespace parm
