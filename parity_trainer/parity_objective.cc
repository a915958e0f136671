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

at::Tensor DecodeEach(const at::Tensor& coefficients, const at::Tensor& answer,
                      const at::Tensor& members) {
  if (!coefficients.defined()) return answer.view(members.sizes());
  // The answer less the exact outputs of the member's siblings.
  const at::Tensor weights = coefficients.view({-1, 1, 1});
  const at::Tensor error = answer - (members * weights).sum(0);
  return members + error.unsqueeze(0) / weights;
}

at::Tensor ComputeParityLoss(ParityLoss loss, const at::Tensor& coefficients,
                             const at::Tensor& answer,
                             const at::Tensor& members,
                             const at::Tensor& targets) {
  const at::Tensor squared_error =
      coefficients.defined()
          ? torch::mse_loss(answer,
                            (members * coefficients.view({-1, 1, 1})).sum(0))
          : torch::mse_loss(answer.view(members.sizes()), members);
  if (loss == ParityLoss::kMse) return squared_error;
  const at::Tensor decoded = DecodeEach(coefficients, answer, members);
  const at::Tensor cross_entropy =
      -(targets * torch::log_softmax(decoded, 2)).sum(2).mean();
  return cross_entropy + kMseShare * squared_error;
}

}  // namespace parm
