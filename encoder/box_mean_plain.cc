#include <cstdint>
#include <cstring>

#include "encoder/box_mean.h"

namespace parm {
namespace {

// Calls mean_of(box, out) with the top left byte of each box.
template <typename T, typename MeanOf>
void ForEachBox(const BoxMeanJob& job, const MeanOf& mean_of) {
  for (size_t y = 0; y < job.num_rows; ++y) {
    const std::byte* in = job.in + y * job.box_rows * job.in_row_bytes;
    std::byte* out = job.out + y * job.out_row_bytes;
    for (size_t x = 0; x < job.num_columns; ++x) {
      mean_of(in + x * job.box_columns * sizeof(T), out + x * sizeof(T));
    }
  }
}

// Through memcpy, because tensors need not be aligned.
template <typename T>
T Load(const std::byte* box, const BoxMeanJob& job, size_t row, size_t column) {
  T value;
  std::memcpy(&value, box + row * job.in_row_bytes + column * sizeof(T),
              sizeof(T));
  return value;
}

}  // namespace

void BoxMeanFp32Plain(const BoxMeanJob& job) {
  const float scale = 1.0F / static_cast<float>(job.box_rows * job.box_columns);
  ForEachBox<float>(job, [&](const std::byte* box, std::byte* out) {
    float sum = 0;
    for (size_t column = 0; column < job.box_columns; ++column) {
      float column_sum = Load<float>(box, job, 0, column);
      for (size_t row = 1; row < job.box_rows; ++row) {
        column_sum += Load<float>(box, job, row, column);
      }
      sum = column == 0 ? column_sum : sum + column_sum;
    }
    sum *= scale;
    std::memcpy(out, &sum, sizeof(sum));
  });
}

void BoxMeanUint8Plain(const BoxMeanJob& job) {
  const auto size = static_cast<uint32_t>(job.box_rows * job.box_columns);
  ForEachBox<uint8_t>(job, [&](const std::byte* box, std::byte* out) {
    uint32_t sum = 0;
    for (size_t row = 0; row < job.box_rows; ++row) {
      for (size_t column = 0; column < job.box_columns; ++column) {
        sum += Load<uint8_t>(box, job, row, column);
      }
    }
    *out = static_cast<std::byte>((2 * sum + size) / (2 * size));
  });
}

}  // namespace parm
