#include "parity_trainer/optimizers.h"

#include <string>
#include <utility>

#include "absl/strings/match.h"

namespace parm {
namespace {

constexpr double kMomentum = 0.9;
constexpr double kOthersRate = 3;  // times that of the weights Muon turns
constexpr int kIterations = 5;
constexpr double kTiny = 1e-7;
// Of Muon's parameter groups.
constexpr size_t kOthers = 0;
constexpr size_t kTurned = 1;

torch::optim::SGDOptions SgdOptions(double rate, double weight_decay) {
  return torch::optim::SGDOptions(rate)
      .momentum(kMomentum)
      .nesterov(true)
      .weight_decay(weight_decay);
}

/// SGD with one more group of parameters, the weights to turn. Their momentum
/// is part of SGD's state, which SGD saves and loads.
class Muon : public torch::optim::SGD {
 public:
  Muon(std::vector<at::Tensor> others, std::vector<at::Tensor> turned,
       const Recipe& recipe)
      : SGD({torch::optim::OptimizerParamGroup(std::move(others)),
             torch::optim::OptimizerParamGroup(std::move(turned))},
            SgdOptions(recipe.learning_rate, recipe.weight_decay)) {}

  at::Tensor step(LossClosure closure = nullptr) override {
    {
      const torch::NoGradGuard no_gradients;
      const torch::optim::OptimizerParamGroup& group = param_groups()[kTurned];
      for (const at::Tensor& weight : group.params()) {
        if (Turn(weight, group.options().get_lr())) {
          weight.mutable_grad() = at::Tensor();
        }
      }
    }
    // What has no gradient any more, SGD leaves alone.
    return SGD::step(std::move(closure));
  }

 private:
  /// False if there is nothing to turn: no gradient, or a weight of all zeros,
  /// which has no norm to keep.
  bool Turn(at::Tensor weight, double rate) {
    if (!weight.grad().defined()) return false;
    const double norm = weight.norm().item<double>();
    if (norm < kTiny) return false;
    at::Tensor& momentum = MomentumOf(weight);
    momentum.mul_(kMomentum).add_(weight.grad());
    const at::Tensor direction = Orthogonalise(
        weight.grad().add(momentum, kMomentum).reshape({weight.size(0), -1}));
    const double length = direction.norm().item<double>();
    if (length < kTiny) return true;
    weight.add_(direction.view(weight.sizes()), -rate * norm / length);
    weight.mul_(norm / weight.norm().item<double>());
    return true;
  }

  at::Tensor& MomentumOf(const at::Tensor& weight) {
    std::unique_ptr<torch::optim::OptimizerParamState>& entry =
        state()[weight.unsafeGetTensorImpl()];
    if (entry == nullptr) {
      auto fresh = std::make_unique<torch::optim::SGDParamState>();
      fresh->momentum_buffer(torch::zeros_like(weight));
      entry = std::move(fresh);
    }
    return static_cast<torch::optim::SGDParamState&>(*entry).momentum_buffer();
  }
};

bool IsTurned(const std::string& name, const at::Tensor& parameter) {
  return parameter.dim() >= 2 && !absl::StartsWith(name, "head");
}

}  // namespace

std::vector<at::Tensor> ParametersOf(const torch::jit::Module& network) {
  std::vector<at::Tensor> parameters;
  for (const at::Tensor& parameter : network.parameters()) {
    parameters.push_back(parameter);
  }
  return parameters;
}

at::Tensor Orthogonalise(const at::Tensor& matrix) {
  const bool tall = matrix.size(0) > matrix.size(1);
  at::Tensor x = tall ? matrix.t() : matrix;
  x = x / (x.norm() + kTiny);
  for (int i = 0; i < kIterations; ++i) {
    const at::Tensor square = x.mm(x.t());
    const at::Tensor mixed =
        torch::addmm(square, square, square, -4.7750, 2.0315);
    x = torch::addmm(x, mixed, x, 3.4445);
  }
  return tall ? x.t() : x;
}

std::unique_ptr<torch::optim::Optimizer> MakeOptimizer(
    const Recipe& recipe, const torch::jit::Module& network) {
  if (recipe.optimizer == "muon") {
    std::vector<at::Tensor> others;
    std::vector<at::Tensor> turned;
    for (const auto& parameter : network.named_parameters()) {
      (IsTurned(parameter.name, parameter.value) ? turned : others)
          .push_back(parameter.value);
    }
    return std::make_unique<Muon>(std::move(others), std::move(turned), recipe);
  }
  if (recipe.optimizer == "sgd") {
    return std::make_unique<torch::optim::SGD>(
        ParametersOf(network),
        SgdOptions(recipe.learning_rate, recipe.weight_decay));
  }
  return std::make_unique<torch::optim::Adam>(
      ParametersOf(network), torch::optim::AdamOptions(recipe.learning_rate)
                                 .weight_decay(recipe.weight_decay));
}

void SetRateShare(const Recipe& recipe, double share,
                  torch::optim::Optimizer* optimizer) {
  const double rate = share * recipe.learning_rate;
  for (torch::optim::OptimizerParamGroup& group : optimizer->param_groups()) {
    group.options().set_lr(rate);
  }
  if (recipe.optimizer == "muon") {
    optimizer->param_groups()[kOthers].options().set_lr(kOthersRate * rate);
  }
}

}  // namespace parm
