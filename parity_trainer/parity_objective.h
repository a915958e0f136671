#pragma once

// What a parity model is punished for. For files that include torch.

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "torch/torch.h"

namespace parm {

enum class ParityLoss {
  /// Squared error: against the (weighted) sum of the members' logits, as ParM
  /// has it, or
  /// of a multi-output model slice by slice.
  kMse,
  /// Cross-entropy of what the decoder would make of the answer for each member
  /// were it lost, plus a little of kMse, which keeps the scale and tells more
  /// about the deployed model than its probabilities do. It spends the model's
  /// capacity on what changes decisions.
  kDecoded,
};

/// "mse", "decoded".
absl::string_view ToString(ParityLoss loss);
/// Errors: kInvalidArgument, naming the known ones.
absl::StatusOr<ParityLoss> ParseParityLoss(absl::string_view name);

/// What every member decodes to were it alone lost, [k, groups, classes].
/// Shape: answer: [groups, classes], the sum of the members' logits weighted
///        with `coefficients`, [k]; where these are undefined one slice per
///        member, [k, groups, classes] in whatever shape; members: the deployed
///        model's logits, [k, groups, classes].
at::Tensor DecodeEach(const at::Tensor& coefficients, const at::Tensor& answer,
                      const at::Tensor& members);

/// The mean loss.
/// Shape: as DecodeEach; targets: probabilities of the classes, [k, groups,
///        classes].
at::Tensor ComputeParityLoss(ParityLoss loss, const at::Tensor& coefficients,
                             const at::Tensor& answer,
                             const at::Tensor& members,
                             const at::Tensor& targets);

}  // namespace parm
