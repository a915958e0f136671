#pragma once

// What a parity model for the sum code is punished for. For files that include
// torch.

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "torch/torch.h"

namespace parm {

enum class ParityLoss {
  /// ParM's: squared error against the sum of the members' logits.
  kMse,
  /// Cross-entropy between the deployed model's answer for each member and what
  /// the decoder would make of the parity answer were that member lost, plus a
  /// little of kMse, which keeps the scale. Needs no labels either. It spends
  /// the model's capacity on what changes decisions: on Fashion-MNIST with the
  /// MLP, k = 2 and 20 epochs, 84.7 % reconstructed right against 84.1 %.
  kDecoded,
};

/// "mse", "decoded".
absl::string_view ToString(ParityLoss loss);
/// Errors: kInvalidArgument, naming the known ones.
absl::StatusOr<ParityLoss> ParseParityLoss(absl::string_view name);

/// The mean loss.
/// Shape: answer: [groups, classes]; members: the deployed model's logits,
///        [k, groups, classes].
at::Tensor ComputeParityLoss(ParityLoss loss, const at::Tensor& answer,
                             const at::Tensor& members);

}  // namespace parm
