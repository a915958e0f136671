#pragma once

// A small convolutional network for pictures: five 3x3 convolutions (32, 32,
// 64, 64, 128 channels, batch normalisation, ReLU), the second and fourth of
// stride 2, and one linear layer on the mean of the last feature map. 11 M
// multiplications for 28x28.

#include "absl/status/statusor.h"
#include "parity_trainer/architectures/architecture.h"

namespace parm {

/// Errors: kInvalidArgument unless samples are [channels, height, width] with
/// sides of at least 8.
absl::StatusOr<torch::jit::Module> BuildCnn(const NetworkSpec& spec);

}  // namespace parm
