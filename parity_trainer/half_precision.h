#pragma once

// Makes a cheaper copy of a network without training it: what a redundant task
// can run instead of the network itself. The header knows no torch.

#include <string>

#include "absl/status/statusor.h"

namespace parm {

/// A TorchScript file of ours or anybody's that computes its 2D convolutions in
/// BF16, on pictures laid out channels-last, with batch normalisation folded
/// into them; everything else, its input and its answer stay FP32. Answers
/// differ in the third digit. Cheaper where the CPU multiplies BF16 itself.
/// Takes:  the bytes of a TorchScript file.
/// Errors: kInvalidArgument if they are none, or no convolution in it has
///         constant FP32 weights.
absl::StatusOr<std::string> WithHalfConvolutions(
    const std::string& model_bytes);

}  // namespace parm
