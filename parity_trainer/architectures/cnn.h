#pragma once

// A small convolutional network for pictures: three 3x3 convolutions of stride
// 2 (32, 64, 128 channels) and one linear layer, 2.2 M multiplications for
// 28x28. Strides instead of pooling keep it cheap on a CPU.

#include "absl/status/statusor.h"
#include "parity_trainer/architectures/architecture.h"

namespace parm {

/// Errors: kInvalidArgument unless samples are [channels, height, width] with
/// sides of at least 8.
absl::StatusOr<torch::jit::Module> BuildCnn(const NetworkSpec& spec);

}  // namespace parm
