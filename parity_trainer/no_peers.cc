// TrainingPeers for a build without Gloo's headers: there are none.

#include "parity_trainer/training_peers.h"

namespace parm {

absl::StatusOr<std::unique_ptr<TrainingPeers>> JoinPeers(
    const PeerOptions& options) {
  if (options.num_peers == 1) return nullptr;
  return absl::UnimplementedError(
      "parm-train was built for one process only: install libgloo-dev "
      "(scripts/bootstrap.sh does) and build it anew");
}

}  // namespace parm
