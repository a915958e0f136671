#pragma once

// What a training run is given and what it gives back; plain data, without
// torch.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "parity_trainer/learning_curve.h"
#include "parity_trainer/recipe.h"
#include "parity_trainer/training_peers.h"

namespace parm {

struct TrainingSettings {
  uint64_t seed = 1;
  Recipe recipe;
  std::string checkpoint_path;
  /// Gets the history anew after each epoch; empty: none.
  std::string log_path;
  bool resume = false;
  /// Everything that the result depends on. A checkpoint made under another
  /// fingerprint is refused.
  std::string fingerprint;
  /// Who else trains the same network; nullptr: nobody.
  TrainingPeers* peers = nullptr;
};

/// A trained model, or the news that the run was interrupted.
struct TrainedModel {
  /// Stopped by a signal; the checkpoint holds the work, the rest is empty.
  bool interrupted = false;
  std::string model_bytes;  // a TorchScript file
  std::string init;         // where it started from: as Recipe::init
  double seconds = 0;       // of training, resumed parts included
  /// The epoch whose weights these are, from 1, and the share of held-out
  /// samples that they got right; 0 if none were held out.
  int64_t best_epoch = 0;
  double validation_accuracy = 0;
  std::vector<EpochRecord> history;  // resumed parts included
  int processes = 1;
  /// Training samples learned from, by all processes together, per second of
  /// this run: steps, validation and checkpoints.
  double samples_per_second = 0;
};

/// Whether this process writes checkpoints and bundles.
bool Leads(const TrainingPeers* peers);

/// What a command returns when training was interrupted: kCancelled, and how to
/// go on. An empty path: rank 0 has the checkpoint.
absl::Status InterruptedError(const std::string& checkpoint_path);

/// What a command returns in a process that does not lead.
std::string FollowerLine(const TrainingPeers& peers);

}  // namespace parm
