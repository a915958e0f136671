#pragma once

// The loops in which coding spends its time. Each reads its inputs once
// and exists twice: Highway SIMD, chosen for the CPU at run time
// (kernels_hwy.cc), and a plain twin (kernels_plain.cc) that says what is meant
// and runs where a vector does not fill. Both round alike (no fused
// multiply-add), so a parity query has the same bits on every machine.
//
// Pointers need no alignment: tensors lie where a socket left them. `out` must
// not overlap an input.

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"

namespace parm {

/// Most inputs that one call takes.
inline constexpr size_t kMaxKernelInputs = 16;

/// out[i] = weights[0] * inputs[0][i] + weights[1] * inputs[1][i] + ..., in
/// fp32, added from left to right.
/// Needs: 1 <= inputs.size() == weights.size() <= kMaxKernelInputs; `count`
///        floats behind each pointer.
void WeightedSum(absl::Span<const float> weights,
                 absl::Span<const std::byte* const> inputs, size_t count,
                 std::byte* out);
void WeightedSumPlain(absl::Span<const float> weights,
                      absl::Span<const std::byte* const> inputs, size_t count,
                      std::byte* out);

/// out[i] = the mean of inputs[..][i], rounded half away from zero, in exact
/// integer arithmetic: (2 * sum + n) / (2 * n) for n inputs.
/// Needs: 1 <= inputs.size() <= kMaxKernelInputs; `count` uint8 behind each.
void RoundedMean(absl::Span<const std::byte* const> inputs, size_t count,
                 std::byte* out);
void RoundedMeanPlain(absl::Span<const std::byte* const> inputs, size_t count,
                      std::byte* out);

/// out[i] = offset + weights[0] * inputs[0][i] + weights[1] * inputs[1][i] +
/// ..., in fp32, added from left to right; then 1/2 more, rounded down, and
/// what lies beyond 0..255 set to the nearest of these. Needs: as RoundedMean,
/// with a weight for each input; sums within 2^30.
void RoundedWeightedSum(absl::Span<const float> weights, float offset,
                        absl::Span<const std::byte* const> inputs, size_t count,
                        std::byte* out);
void RoundedWeightedSumPlain(absl::Span<const float> weights, float offset,
                             absl::Span<const std::byte* const> inputs,
                             size_t count, std::byte* out);

/// Whether none of `count` floats is infinite or not a number.
bool AllFinite(const std::byte* values, size_t count);
bool AllFinitePlain(const std::byte* values, size_t count);

}  // namespace parm
