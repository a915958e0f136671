#pragma once

// The launch that weighted_sum.cc wraps. Between them so that the CUDA compiler
// sees no library of ours and no other file sees CUDA.

#include <cstddef>

namespace parm::cuda {

/// Enqueues the kernel on the default stream; returns a cudaError_t.
/// Needs: 1 <= num_inputs <= kMaxKernelInputs; `count` > 0.
int LaunchWeightedSum(const float* weights, const float* const* inputs,
                      int num_inputs, size_t count, float* out,
                      int* not_finite);

}  // namespace parm::cuda
