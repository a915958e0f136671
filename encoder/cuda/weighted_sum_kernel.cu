#include "encoder/cuda/weighted_sum_kernel.h"

#include <cstdint>

namespace parm::cuda {
namespace {

constexpr int kMaxInputs = 16;
constexpr int kThreadsPerBlock = 256;
// Enough blocks to fill any device; threads go round for the rest.
constexpr size_t kMaxBlocks = 4096;

// Passed by value, so that a launch needs no copy of its own.
struct Terms {
  float weights[kMaxInputs];
  const float* inputs[kMaxInputs];
  int size;
};

// Rounded after each step, as in WeightedSumPlain: a compiler would fuse them.
__device__ float AddTerm(float sum, float weight, float value) {
  return __fadd_rn(sum, __fmul_rn(weight, value));
}

__device__ bool IsFinite(float value) {
  return (__float_as_uint(value) & 0x7F800000U) != 0x7F800000U;
}

// One value of every input.
__device__ float SumAt(const Terms& terms, size_t i) {
  float sum = __fmul_rn(terms.weights[0], terms.inputs[0][i]);
  for (int j = 1; j < terms.size; ++j) {
    sum = AddTerm(sum, terms.weights[j], terms.inputs[j][i]);
  }
  return sum;
}

// Four neighbours, in one access each.
__device__ float4 SumOfFourAt(const Terms& terms, size_t four) {
  const float first = terms.weights[0];
  const float4 value = reinterpret_cast<const float4*>(terms.inputs[0])[four];
  float4 sum = {__fmul_rn(first, value.x), __fmul_rn(first, value.y),
                __fmul_rn(first, value.z), __fmul_rn(first, value.w)};
  for (int j = 1; j < terms.size; ++j) {
    const float weight = terms.weights[j];
    const float4 next = reinterpret_cast<const float4*>(terms.inputs[j])[four];
    sum.x = AddTerm(sum.x, weight, next.x);
    sum.y = AddTerm(sum.y, weight, next.y);
    sum.z = AddTerm(sum.z, weight, next.z);
    sum.w = AddTerm(sum.w, weight, next.w);
  }
  return sum;
}

// The first `num_fours` * 4 values by fours, the rest one by one.
__global__ void WeightedSumKernel(const Terms terms, size_t num_fours,
                                  size_t count, float* out, int* not_finite) {
  const size_t first = static_cast<size_t>(blockIdx.x) * blockDim.x +
                       static_cast<size_t>(threadIdx.x);
  const size_t step = static_cast<size_t>(gridDim.x) * blockDim.x;
  bool finite = true;
  for (size_t four = first; four < num_fours; four += step) {
    const float4 sum = SumOfFourAt(terms, four);
    reinterpret_cast<float4*>(out)[four] = sum;
    finite = finite && IsFinite(sum.x) && IsFinite(sum.y) && IsFinite(sum.z) &&
             IsFinite(sum.w);
  }
  for (size_t i = 4 * num_fours + first; i < count; i += step) {
    const float sum = SumAt(terms, i);
    out[i] = sum;
    finite = finite && IsFinite(sum);
  }
  if (not_finite != nullptr && !finite) atomicOr(not_finite, 1);
}

bool IsAligned(const void* pointer) {
  return reinterpret_cast<uintptr_t>(pointer) % sizeof(float4) == 0;
}

}  // namespace

int LaunchWeightedSum(const float* weights, const float* const* inputs,
                      int num_inputs, size_t count, float* out,
                      int* not_finite) {
  Terms terms = {};
  terms.size = num_inputs;
  bool aligned = IsAligned(out);
  for (int j = 0; j < num_inputs; ++j) {
    terms.weights[j] = weights[j];
    terms.inputs[j] = inputs[j];
    aligned = aligned && IsAligned(inputs[j]);
  }
  const size_t num_fours = aligned ? count / 4 : 0;
  const size_t num_items = num_fours > 0 ? num_fours : count;
  size_t num_blocks = (num_items + kThreadsPerBlock - 1) / kThreadsPerBlock;
  if (num_blocks > kMaxBlocks) num_blocks = kMaxBlocks;
  WeightedSumKernel<<<static_cast<unsigned>(num_blocks), kThreadsPerBlock>>>(
      terms, num_fours, count, out, not_finite);
  return static_cast<int>(cudaGetLastError());
}

}  // namespace parm::cuda
