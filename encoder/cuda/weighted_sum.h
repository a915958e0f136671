#pragma once

// The loop of encode and decode where tensors live on a GPU: WeightedSum of
// encoder/kernels.h with the same bits, and AllFinite of its result in the same
// pass. Built with PARM_WITH_CUDA only; nothing on a query's path uses it yet.

#include <cstddef>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace parm::cuda {

/// CUDA devices of this machine.
/// Errors: kUnavailable, with CUDA's reason, if there are none or no driver.
absl::StatusOr<int> NumDevices();

/// out[i] = weights[0] * inputs[0][i] + ..., in fp32, added from left to right
/// without fused multiply-add. Encodes with a row of G, decodes with a row of
/// D_F. Asynchronous, on the current device's default stream.
/// Shape:  pointers to `count` floats of device memory, those on 16 bytes
///         being fastest; `out` overlaps no input.
/// Errors: kInvalidArgument unless 1 <= inputs.size() == weights.size() <=
///         kMaxKernelInputs; kUnavailable if the kernel cannot be launched.
///         What goes wrong while it runs shows at the next synchronisation.
/// not_finite: nullptr, or one int of device memory, set to 1 if any result is
///         infinite or not a number, else left alone.
absl::Status WeightedSum(absl::Span<const float> weights,
                         absl::Span<const float* const> inputs, size_t count,
                         float* out, int* not_finite);

}  // namespace parm::cuda
