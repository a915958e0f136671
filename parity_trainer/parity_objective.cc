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

at::Tensor DecodeEach(bool multi_output, const at::Tensor& answer,
                      const at::Tensor& members) {
  if (multi_output) return answer.view(members.sizes());
  // The answer less the exact outputs of the member's siblings.
  return members + (answer - members.sum(0)).unsqueeze(0);
}

at::Tensor ComputeParityLoss(ParityLoss loss, bool multi_output,
                             const at::Tensor& answer,
                             const at::Tensor& members,
                             const at::Tensor& targets) {
  const at::Tensor squared_error =
      multi_output ? torch::mse_loss(answer.view(members.sizes()), members)
                   : torch::mse_loss(answer, members.sum(0));
  if (loss == ParityLoss::kMse) return squared_error;
  const at::Tensor decoded = DecodeEach(multi_output, answer, members);
  const at::Tensor cross_entropy =
      -(targets * torch::log_softmax(decoded, 2)).sum(2).mean();
  return cross_entropy + kMseShare * squared_error;
}

}  // namespace parm
