#include "parity_trainer/training_settings.h"

#include "absl/strings/str_cat.h"

namespace parm {

absl::Status InterruptedError(const std::string& checkpoint_path) {
  return absl::CancelledError(
      absl::StrCat("interrupted; the work so far is in ", checkpoint_path,
                   ": run the same command with --resume to go on"));
}

}  // namespace parm
