#include "encoder/half_float.h"

#include <algorithm>

#include "encoder/kernels.h"

namespace parm {
namespace {

// Floats widened at a time: 16 inputs of it fit a first-level cache.
constexpr size_t kPiece = 256;

constexpr size_t kHalfBytes = 2;

}  // namespace

void WidenHalf(DataType datatype, const std::byte* in, size_t count,
               std::byte* out) {
  datatype == DataType::kFp16 ? WidenFp16(in, count, out)
                              : WidenBf16(in, count, out);
}

void NarrowToHalf(DataType datatype, const std::byte* in, size_t count,
                  std::byte* out) {
  datatype == DataType::kFp16 ? NarrowToFp16(in, count, out)
                              : NarrowToBf16(in, count, out);
}

void WeightedSumHalf(DataType datatype, absl::Span<const float> weights,
                     absl::Span<const std::byte* const> inputs, size_t count,
                     std::byte* out) {
  alignas(64) std::byte wide[kMaxKernelInputs][kPiece * sizeof(float)];
  alignas(64) std::byte sum[kPiece * sizeof(float)];
  const std::byte* pieces[kMaxKernelInputs];
  for (size_t j = 0; j < inputs.size(); ++j) pieces[j] = wide[j];
  for (size_t begin = 0; begin < count; begin += kPiece) {
    const size_t size = std::min(kPiece, count - begin);
    for (size_t j = 0; j < inputs.size(); ++j) {
      WidenHalf(datatype, inputs[j] + begin * kHalfBytes, size, wide[j]);
    }
    WeightedSum(weights, absl::MakeConstSpan(pieces, inputs.size()), size, sum);
    NarrowToHalf(datatype, sum, size, out + begin * kHalfBytes);
  }
}

void BoxMeanHalf(DataType datatype, const BoxMeanJob& job) {
  alignas(64) std::byte wide[kMaxBoxSide][kPiece * sizeof(float)];
  alignas(64) std::byte means[kPiece * sizeof(float)];
  const size_t columns_per_piece = kPiece / job.box_columns;
  for (size_t y = 0; y < job.num_rows; ++y) {
    const std::byte* in = job.in + y * job.box_rows * job.in_row_bytes;
    std::byte* out = job.out + y * job.out_row_bytes;
    for (size_t x = 0; x < job.num_columns; x += columns_per_piece) {
      const size_t num_columns =
          std::min(columns_per_piece, job.num_columns - x);
      for (size_t row = 0; row < job.box_rows; ++row) {
        WidenHalf(
            datatype,
            in + row * job.in_row_bytes + x * job.box_columns * kHalfBytes,
            num_columns * job.box_columns, wide[row]);
      }
      BoxMeanFp32({.in = wide[0],
                   .in_row_bytes = sizeof(wide[0]),
                   .box_rows = job.box_rows,
                   .box_columns = job.box_columns,
                   .num_rows = 1,
                   .num_columns = num_columns,
                   .out = means,
                   .out_row_bytes = sizeof(means)});
      NarrowToHalf(datatype, means, num_columns, out + x * kHalfBytes);
    }
  }
}

}  // namespace parm
