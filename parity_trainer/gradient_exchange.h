#pragma once

// What peers tell each other in a training step: gradients, and whether one of
// them was asked to stop. For files that include torch.

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "parity_trainer/training_peers.h"
#include "torch/script.h"
#include "torch/torch.h"

namespace parm {

/// Examples [begin, begin + count).
struct ExampleRange {
  int64_t begin = 0;
  int64_t count = 0;
};

/// One part of `whole` for each of `parts`; all parts together are the whole,
/// and none is larger than another by more than one example.
ExampleRange PartOf(ExampleRange whole, int part, int parts);

/// What one peer has to say of a step, and what all have together.
struct StepSummary {
  double loss = 0;
  bool interrupted = false;
};

/// Adds up the gradients and losses of all peers, each weighted with its share
/// of the minibatch already, so that the sums are those of one process. All
/// peers are interrupted if one is.
/// Errors: as TrainingPeers::Sum.
class GradientExchange {
 public:
  GradientExchange(TrainingPeers* peers, std::vector<at::Tensor> parameters);

  absl::StatusOr<StepSummary> Exchange(const StepSummary& own);

 private:
  TrainingPeers* const peers_;
  const std::vector<at::Tensor> parameters_;
  std::vector<float> values_;  // gradients, then the summary
};

/// Every peer's running statistics become the mean over all.
/// Errors: as TrainingPeers::Sum.
absl::Status AverageBuffers(TrainingPeers* peers,
                            const torch::jit::Module& network);

}  // namespace parm
