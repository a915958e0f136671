#include "parity_trainer/training_settings.h"

#include "absl/strings/str_cat.h"

namespace parm {

std::string DescribeSettings(const TrainingSettings& settings) {
  return absl::StrCat("seed=", settings.seed, " epochs=", settings.epochs,
                      " minibatch=", settings.minibatch,
                      " learning_rate=", settings.learning_rate);
}

absl::Status InterruptedError(const std::string& checkpoint_path) {
  return absl::CancelledError(
      absl::StrCat("interrupted; the work so far is in ", checkpoint_path,
                   ": run the same command with --resume to go on"));
}

}  // namespace parm
