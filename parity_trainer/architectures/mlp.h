#pragma once

// ParM's multi-layer perceptron: inputs-200-100-classes with ReLU.

#include "absl/status/statusor.h"
#include "parity_trainer/architectures/architecture.h"

namespace parm {

/// Takes samples of any shape, flattened.
/// Errors: kInvalidArgument for an empty sample.
absl::StatusOr<torch::jit::Module> BuildMlp(const NetworkSpec& spec);

}  // namespace parm
