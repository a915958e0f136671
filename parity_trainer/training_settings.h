#pragma once

// What the user says about a training run; plain data, without torch.

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace parm {

struct TrainingSettings {
  uint64_t seed = 1;
  int64_t epochs = 1;
  int64_t minibatch = 1;  // examples per step: samples, or coding groups
  double learning_rate = 1e-3;
  std::string checkpoint_path;
  bool resume = false;
  /// Everything else that the result depends on. A checkpoint made under
  /// another fingerprint is refused.
  std::string fingerprint;
};

/// Seed, epochs, minibatch and learning rate as text, for fingerprints.
std::string DescribeSettings(const TrainingSettings& settings);

/// A trained model, or the news that the run was interrupted.
struct TrainedModel {
  /// Stopped by a signal; the checkpoint holds the work, the rest is empty.
  bool interrupted = false;
  std::string model_bytes;  // a TorchScript file
  std::string init;         // "deployed" or "scratch"
  double seconds = 0;       // of training, resumed parts included
};

/// What a command returns when training was interrupted: kCancelled, and how to
/// go on.
absl::Status InterruptedError(const std::string& checkpoint_path);

}  // namespace parm
