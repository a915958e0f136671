#pragma once

// How a picture is shrunk: each pixel of the result is the mean of a small box
// of pixels. Reads its input once and exists twice, like the loops of
// kernels.h: Highway SIMD (box_mean_hwy.cc) and a plain twin
// (box_mean_plain.cc) with the same bits.

#include <cstddef>

namespace parm {

/// Largest side of a box: a grid of 16 pictures is 4 x 4.
inline constexpr size_t kMaxBoxSide = 4;

/// One plane of one picture, and where its small copy goes. Pointers need no
/// alignment; rows may be part of larger ones.
struct BoxMeanJob {
  const std::byte* in;
  size_t in_row_bytes;
  size_t box_rows;
  size_t box_columns;
  /// Of the result; the input has num_rows * box_rows rows of
  /// num_columns * box_columns pixels.
  size_t num_rows;
  size_t num_columns;
  std::byte* out;
  size_t out_row_bytes;
};

/// In fp32: each column of a box from top to bottom, these sums from left to
/// right, times 1 / (box_rows * box_columns).
/// Needs: 1 <= box_rows, box_columns <= kMaxBoxSide; `out` does not overlap.
void BoxMeanFp32(const BoxMeanJob& job);
void BoxMeanFp32Plain(const BoxMeanJob& job);

/// Rounded half up in exact integers: (2 * sum + n) / (2 * n) for boxes of n.
/// Needs: as BoxMeanFp32.
void BoxMeanUint8(const BoxMeanJob& job);
void BoxMeanUint8Plain(const BoxMeanJob& job);

}  // namespace parm
