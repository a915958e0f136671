#pragma once

// How a network is trained, apart from what it learns: plain data, without
// torch. Defaults come from the command, then from a recipe file, then from
// flags (recipe_file.h).

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "parity_trainer/augmentation.h"

namespace parm {

struct Recipe {
  int64_t epochs = 1;           // passes over the training samples
  int64_t minibatch = 1;        // examples per step: samples, or coding groups
  double learning_rate = 1e-3;  // at its height
  std::string optimizer = "adam";  // or sgd, muon: see optimizers.h
  double weight_decay = 1e-5;
  std::string precision = "fp32";  // or bf16: autocast, weights stay FP32
  std::string loss;                // parity models: see parity_objective.h
  /// Where the first weights come from: "deployed", "scratch" (random ones), or
  /// the directory of a bundle.
  std::string init = "deployed";
  /// Of the true labels in what a parity model learns; the rest is what the
  /// deployed model answers. In [0, 1].
  double label_share = 0.5;
  /// Of what a deployed model learns about a sample: the share that goes to all
  /// classes alike instead of to the right one. In [0, 1).
  double label_smoothing = 0;
  Augmentation augmentation;
  /// Whether the deployed model is asked about every sample as augmented, one
  /// more pass for each; otherwise its answer to the sample as it was is taken.
  bool fresh_answers = true;
  /// Of `tile`: layers do not halve a side that the grid made shorter already.
  /// More work, about that of a `pack` through the same network.
  bool keep_resolution = false;
  /// Training samples held out to choose the best epoch by; -1: one in twenty,
  /// at most 5,000.
  int64_t validation = -1;
  /// Epochs without a better one after which the run ends; 0: never.
  int64_t patience = 0;
};

/// Everything that the result depends on as text, for fingerprints.
std::string Describe(const Recipe& recipe);

/// Errors: kInvalidArgument, naming the key, what it holds and what it may.
absl::Status CheckRecipe(const Recipe& recipe);

/// Samples to hold out of `size`, so that at least `least` are left; 0 if the
/// share is smaller than `least` itself.
int64_t NumHeldOut(const Recipe& recipe, int64_t size, int64_t least);

}  // namespace parm
