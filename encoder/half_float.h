#pragma once

// 16-bit floats, FP16 (IEEE binary16) and BF16. Codes compute in fp32: they
// widen what came, and narrow what they made to the nearest value, ties to
// even. Highway SIMD (half_float_hwy.cc) beside plain twins
// (half_float_plain.cc) with the same bits, NaNs' payloads apart.

#include <cstddef>

#include "absl/types/span.h"
#include "base/tensor.h"
#include "encoder/box_mean.h"

namespace parm {

inline bool IsHalfFloat(DataType datatype) {
  return datatype == DataType::kFp16 || datatype == DataType::kBf16;
}

/// `count` values of a 16-bit format to fp32, exactly, and back. Pointers need
/// no alignment and do not overlap.
void WidenFp16(const std::byte* in, size_t count, std::byte* out);
void WidenFp16Plain(const std::byte* in, size_t count, std::byte* out);
void WidenBf16(const std::byte* in, size_t count, std::byte* out);
void WidenBf16Plain(const std::byte* in, size_t count, std::byte* out);

/// What is too large for the format becomes infinite.
void NarrowToFp16(const std::byte* in, size_t count, std::byte* out);
void NarrowToFp16Plain(const std::byte* in, size_t count, std::byte* out);
void NarrowToBf16(const std::byte* in, size_t count, std::byte* out);
void NarrowToBf16Plain(const std::byte* in, size_t count, std::byte* out);

/// The one that `datatype` asks for. Needs: IsHalfFloat(datatype).
void WidenHalf(DataType datatype, const std::byte* in, size_t count,
               std::byte* out);
void NarrowToHalf(DataType datatype, const std::byte* in, size_t count,
                  std::byte* out);

/// WeightedSum of kernels.h and BoxMeanFp32 of box_mean.h over values of a
/// 16-bit format, rounded once at the end. They go through the cache in pieces.
/// Needs: IsHalfFloat(datatype); else as those.
void WeightedSumHalf(DataType datatype, absl::Span<const float> weights,
                     absl::Span<const std::byte* const> inputs, size_t count,
                     std::byte* out);
void BoxMeanHalf(DataType datatype, const BoxMeanJob& job);

}  // namespace parm
