#pragma once

// The one training loop: steps over whatever a TrainingTask asks for, with
// validation, checkpoints, resume, interruption and progress. For files that
// include torch.

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "parity_trainer/progress.h"
#include "parity_trainer/training_settings.h"
#include "torch/script.h"
#include "torch/torch.h"

namespace parm {

/// What is being learned. All randomness comes from (seed, epoch), so that a
/// run can be taken up at any step.
class TrainingTask {
 public:
  virtual ~TrainingTask() = default;

  /// Examples in one epoch: samples, or coding groups. At least 1.
  virtual int64_t examples_per_epoch() const = 0;
  /// Draws the epoch's order.
  virtual void BeginEpoch(int64_t epoch) = 0;
  /// The mean loss of examples [begin, begin + count) of the epoch's order.
  virtual absl::StatusOr<at::Tensor> Loss(torch::jit::Module* network,
                                          int64_t begin, int64_t count) = 0;
  /// The share of the held-out samples that the network, in eval mode, serves
  /// right; nullopt if none are held out.
  virtual absl::StatusOr<std::optional<double>> Validate(
      torch::jit::Module* network) = 0;
};

/// Trains `network` in place: one linear warm-up and a cosine down to zero; at
/// the end it holds the state of the epoch that validated best, or of the last.
/// A checkpoint is written before the first step (so that a full disk
/// shows at once), after each epoch, at least once a minute, and on interrupt.
/// Errors: as the task's and the checkpoint's; kDataLoss if the loss is not
/// finite.
/// Returns the outcome without model_bytes and init.
absl::StatusOr<TrainedModel> RunTraining(const TrainingSettings& settings,
                                         TrainingTask* task,
                                         torch::jit::Module* network,
                                         ProgressReporter* progress);

/// The network in eval mode as a TorchScript file.
/// Errors: kInternal.
absl::StatusOr<std::string> SerializeNetwork(torch::jit::Module* network);

}  // namespace parm
