#pragma once

// Small convolutional networks for pictures: convolutions with batch
// normalisation and ReLU, then one linear layer on the mean of the last feature
// map. `cnn` has five of 3x3 (32, 32, 64, 64, 128 channels), the second and
// fourth of stride 2: 11 M multiplications for 28x28. `cnn4` has four (32, 64,
// 64, 128 channels), of which the first is 5x5 of stride 2 and the third of
// stride 2: 9 M. It does nothing at the full resolution and has fewer layers,
// which is what a query pays for on a CPU, so a `pack` through it is cheaper
// than through a `cnn` of as many multiplications. `cnn7` is a `cnn` with two
// more that add to what they are given, at first nothing: it takes a `cnn`'s
// weights and then answers as that does. 25 M multiplications, for parity
// networks that are served in BF16.

#include "absl/status/statusor.h"
#include "parity_trainer/architectures/architecture.h"

namespace parm {

/// Errors: kInvalidArgument unless samples are [channels, height, width] with
/// sides of at least 8.
absl::StatusOr<torch::jit::Module> BuildCnn(const NetworkSpec& spec);
absl::StatusOr<torch::jit::Module> BuildCnn4(const NetworkSpec& spec);
absl::StatusOr<torch::jit::Module> BuildCnn7(const NetworkSpec& spec);

}  // namespace parm
