#include "parity_trainer/parity_objective.h"

#include "absl/strings/str_cat.h"

namespace parm {
namespace {

constexpr double kMseShare = 0.05;

}  // namespace

absl::string_view ToString(ParityLoss loss) {
  return loss == ParityLoss::kMse ? "mse" : "decoded";
}

absl::StatusOr<ParityLoss> ParseParityLoss(absl::string_view name) {
  for (const ParityLoss loss : {ParityLoss::kMse, ParityLoss::kDecoded}) {
    if (name == ToString(loss)) return loss;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown loss: got \"", name, "\", want mse or decoded"));
}

at::Tensor ComputeParityLoss(ParityLoss loss, const at::Tensor& answer,
                             const at::Tensor& members) {
  const at::Tensor sum = members.sum(0);
  const at::Tensor squared_error = torch::mse_loss(answer, sum);
  if (loss == ParityLoss::kMse) return squared_error;
  // Member j as decoded: the answer less the exact outputs of its siblings.
  const at::Tensor decoded = members + (answer - sum).unsqueeze(0);
  const at::Tensor cross_entropy =
      -(torch::softmax(members, 2) * torch::log_softmax(decoded, 2))
           .sum(2)
           .mean();
  return cross_entropy + kMseShare * squared_error;
}

}  // namespace parm
