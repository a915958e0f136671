#pragma once

// The state of a training run in one file, so that it can go on where it
// stopped: parameters, buffers, the optimiser's moments, the step, and the best
// epoch's parameters. For files that include torch.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "parity_trainer/learning_curve.h"
#include "torch/script.h"
#include "torch/torch.h"

namespace parm {

/// Parameters, then buffers, in the order of their registration.
using NetworkState = std::vector<at::Tensor>;
NetworkState StateOf(const torch::jit::Module& network);

struct CheckpointPosition {
  int64_t step = 0;    // steps done
  double seconds = 0;  // spent on them
  /// The epoch, from 1, that validated best; 0: none did yet.
  int64_t best_epoch = 0;
  double best_accuracy = 0;
  NetworkState best;                 // a copy of its state; empty if none
  std::vector<EpochRecord> history;  // of the epochs done
  /// Over the examples of the epoch that is under way.
  double loss_sum = 0;
};

/// Errors: kInternal.
absl::StatusOr<std::string> SerializeCheckpoint(
    const std::string& fingerprint, const CheckpointPosition& position,
    const torch::jit::Module& network,
    const torch::optim::Optimizer& optimizer);

/// Restores network and optimiser, which must be of the kind that was saved.
/// `origin` names the bytes in messages.
/// Errors: kFailedPrecondition, naming both, if their fingerprint is another
/// one; kDataLoss if they are damaged; network and optimiser are then
/// unspecified.
absl::StatusOr<CheckpointPosition> ParseCheckpoint(
    const std::string& contents, const std::string& origin,
    const std::string& fingerprint, torch::jit::Module* network,
    torch::optim::Optimizer* optimizer);

/// Writes atomically.
/// Errors: as WriteFileAtomically.
absl::Status SaveCheckpoint(const std::string& path,
                            const std::string& fingerprint,
                            const CheckpointPosition& position,
                            const torch::jit::Module& network,
                            const torch::optim::Optimizer& optimizer);

/// Errors: kNotFound if there is no file; else as ParseCheckpoint.
absl::StatusOr<CheckpointPosition> LoadCheckpoint(
    const std::string& path, const std::string& fingerprint,
    torch::jit::Module* network, torch::optim::Optimizer* optimizer);

}  // namespace parm
