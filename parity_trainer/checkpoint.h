#pragma once

// The state of a training run in one file, so that it can go on where it
// stopped: parameters, buffers, the optimiser's moments, the step. For files
// that include torch.

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "torch/script.h"
#include "torch/torch.h"

namespace parm {

struct CheckpointPosition {
  int64_t step = 0;    // steps done
  double seconds = 0;  // spent on them
};

/// Writes atomically.
/// Errors: as WriteFileAtomically.
absl::Status SaveCheckpoint(const std::string& path,
                            const std::string& fingerprint,
                            const CheckpointPosition& position,
                            const torch::jit::Module& network,
                            const torch::optim::Optimizer& optimizer);

/// Restores network and optimiser, which must be of the kind that was saved.
/// Errors: kNotFound if there is no file; kFailedPrecondition, naming both, if
/// its fingerprint is another one; kDataLoss if it is damaged; network and
/// optimiser are then unspecified.
absl::StatusOr<CheckpointPosition> LoadCheckpoint(
    const std::string& path, const std::string& fingerprint,
    torch::jit::Module* network, torch::optim::Optimizer* optimizer);

}  // namespace parm
