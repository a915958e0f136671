#include "parity_trainer/training_settings.h"

#include "absl/strings/str_cat.h"

namespace parm {

bool Leads(const TrainingPeers* peers) {
  return peers == nullptr || peers->leads();
}

absl::Status InterruptedError(const std::string& checkpoint_path) {
  return absl::CancelledError(absl::StrCat(
      "interrupted; the work so far is in ",
      checkpoint_path.empty() ? "rank 0's checkpoint" : checkpoint_path,
      ": run the same command with --resume to go on"));
}

std::string FollowerLine(const TrainingPeers& peers) {
  return absl::StrCat("rank ", peers.rank(), " of ", peers.size(),
                      ": trained; rank 0 measures and writes the bundle");
}

}  // namespace parm
