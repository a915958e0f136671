#pragma once

// The one training loop: steps over whatever a TrainingTask asks for, with
// validation, checkpoints, resume, interruption and progress. For files that
// include torch.

#include <cstdint>

#include "absl/status/statusor.h"
#include "parity_trainer/progress.h"
#include "parity_trainer/training_settings.h"
#include "torch/script.h"
#include "torch/torch.h"

namespace parm {

/// How many answers were asked for, and how many were right.
struct Tally {
  int64_t right = 0;
  int64_t asked = 0;
};

/// What is being learned. All randomness comes from (seed, epoch), so that a
/// run can be taken up at any step.
class TrainingTask {
 public:
  virtual ~TrainingTask() = default;

  /// Examples in one epoch: samples, or coding groups. At least 1.
  virtual int64_t examples_per_epoch() const = 0;
  virtual int64_t samples_per_example() const = 0;
  /// Draws the epoch's order.
  virtual void BeginEpoch(int64_t epoch) = 0;
  /// The mean loss of examples [begin, begin + count) of the epoch's order.
  virtual absl::StatusOr<at::Tensor> Loss(torch::jit::Module* network,
                                          int64_t begin, int64_t count) = 0;
  /// How many of the held-out samples the network, in eval mode, serves right:
  /// of part `part` of `parts` that cover them all. None asked if none are held
  /// out.
  virtual absl::StatusOr<Tally> Validate(torch::jit::Module* network, int part,
                                         int parts) = 0;
};

/// Lays the weights of convolutions out channels last: these, and what stands
/// between them, are then computed faster on a CPU. Values stay.
void UseChannelsLast(torch::jit::Module* network);

/// Trains `network` in place, channels last: one linear warm-up and a cosine
/// down to zero; at the end it holds the state of the epoch that validated
/// best, or of the last. A checkpoint is written before the first step (so that
/// a full disk shows at once), after each epoch (the log likewise), at least
/// once a minute, and on interrupt. With peers every process takes its part of
/// each minibatch and of the held-out samples, so that the minibatch, the
/// schedule and what is learned are those of one process; rank 0 alone reads
/// and writes the checkpoint. Errors: as the task's and the checkpoint's;
/// kDataLoss if the loss is not finite; kUnavailable if a peer has gone (rank 0
/// writes its checkpoint first); kFailedPrecondition if a peer has other
/// settings; kInvalidArgument for more peers than examples in a minibatch.
/// Returns the outcome without model_bytes and init.
absl::StatusOr<TrainedModel> RunTraining(const TrainingSettings& settings,
                                         TrainingTask* task,
                                         torch::jit::Module* network,
                                         ProgressReporter* progress);

/// The network in eval mode as a TorchScript file, its weights laid out as
/// torch does by default.
/// Errors: kInternal.
absl::StatusOr<std::string> SerializeNetwork(torch::jit::Module* network);

}  // namespace parm
