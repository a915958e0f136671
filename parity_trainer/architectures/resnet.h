#pragma once

// Residual networks for small pictures, He et al. 2015: ResNet-20, 32 and 56
// (16, 32, 64 channels, as that paper has them for CIFAR-10) and ResNet-18 with
// a 3x3 first layer (64, 128, 256, 512), as ParM used it. A shortcut that
// changes its shape is a 1x1 convolution.

#include "absl/status/statusor.h"
#include "parity_trainer/architectures/architecture.h"

namespace parm {

/// Errors: kInvalidArgument unless samples are [channels, height, width] with
/// sides of at least 8.
absl::StatusOr<torch::jit::Module> BuildResnet18(const NetworkSpec& spec);
absl::StatusOr<torch::jit::Module> BuildResnet20(const NetworkSpec& spec);
absl::StatusOr<torch::jit::Module> BuildResnet32(const NetworkSpec& spec);
absl::StatusOr<torch::jit::Module> BuildResnet56(const NetworkSpec& spec);

}  // namespace parm
