#pragma once

// What moves a network's weights in each step of the training loop. For files
// that include torch.

#include <memory>
#include <vector>

#include "parity_trainer/recipe.h"
#include "torch/script.h"
#include "torch/torch.h"

namespace parm {

std::vector<at::Tensor> ParametersOf(const torch::jit::Module& network);

/// The nearest matrix whose singular values all are about 1 (0.7 to 1.2; less
/// where they are below 0.0015 of the norm), by five steps of the Newton-Schulz
/// iteration with the coefficients of Jordan et al., "Muon", 2024. All zeros
/// stay zeros.
/// Shape:  [rows, columns], FP32; the same.
at::Tensor Orthogonalise(const at::Tensor& matrix);

/// By the recipe's name:
/// "adam", "sgd": as torch has them; sgd with Nesterov's momentum, 0.9.
/// "muon": weights with two dimensions or more, heads aside, move along the
///   orthogonalised momentum, by `learning_rate` times their own norm, which
///   they keep: the scale of what follows a normalisation is without meaning,
///   and directions that few samples ask for are learned as fast as others.
///   Heads, gains and biases learn by sgd, at three times that rate.
/// The state of all is saved and loaded as torch does.
std::unique_ptr<torch::optim::Optimizer> MakeOptimizer(
    const Recipe& recipe, const torch::jit::Module& network);

/// Sets the rate of the next step: `share` of the recipe's full rate.
void SetRateShare(const Recipe& recipe, double share,
                  torch::optim::Optimizer* optimizer);

}  // namespace parm
