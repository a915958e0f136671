#include "encoder/picture_grid.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "encoder/box_mean.h"
#include "encoder/code.h"
#include "encoder/half_float.h"

namespace parm {
namespace {

int ColumnsFor(int num_pictures) {
  int columns = 1;
  while (columns * columns < num_pictures) ++columns;
  return columns;
}

// One cell of one plane of the parity query.
struct Cell {
  std::byte* top_left;
  size_t row_bytes;
  size_t num_rows;
  size_t num_columns;
};

// The sum of a cell's pixels of type T, in a type that holds any that a tensor
// can have: exactly for bytes, well enough for floats.
template <typename T, typename Sum>
Sum SumOfPixels(const Cell& cell) {
  Sum sum = 0;
  for (size_t y = 0; y < cell.num_rows; ++y) {
    for (size_t x = 0; x < cell.num_columns; ++x) {
      T value;
      std::memcpy(&value, cell.top_left + y * cell.row_bytes + x * sizeof(T),
                  sizeof(T));
      sum += value;
    }
  }
  return sum;
}

double SumOfHalves(DataType datatype, const Cell& cell) {
  constexpr size_t kPiece = 64;
  float values[kPiece];
  double sum = 0;
  for (size_t y = 0; y < cell.num_rows; ++y) {
    const std::byte* row = cell.top_left + y * cell.row_bytes;
    for (size_t x = 0; x < cell.num_columns; x += kPiece) {
      const size_t size = std::min(kPiece, cell.num_columns - x);
      WidenHalf(datatype, row + 2 * x, size,
                reinterpret_cast<std::byte*>(values));
      for (size_t i = 0; i < size; ++i) sum += values[i];
    }
  }
  return sum;
}

// One pixel: the mean of all pixels of `filled`. False if they have none.
bool MeanPixel(DataType datatype, absl::Span<const Cell> filled,
               std::byte* pixel) {
  uint64_t byte_sum = 0;
  double sum = 0;
  for (const Cell& cell : filled) {
    if (datatype == DataType::kUint8) {
      byte_sum += SumOfPixels<uint8_t, uint64_t>(cell);
    } else if (datatype == DataType::kFp32) {
      sum += SumOfPixels<float, double>(cell);
    } else {
      sum += SumOfHalves(datatype, cell);
    }
  }
  const size_t count =
      filled.size() * filled[0].num_rows * filled[0].num_columns;
  if (count == 0) return false;
  if (datatype == DataType::kUint8) {
    *pixel = static_cast<std::byte>((2 * byte_sum + count) / (2 * count));
    return true;
  }
  const auto mean = static_cast<float>(sum / static_cast<double>(count));
  if (datatype == DataType::kFp32) {
    std::memcpy(pixel, &mean, sizeof(mean));
  } else {
    NarrowToHalf(datatype, reinterpret_cast<const std::byte*>(&mean), 1, pixel);
  }
  return true;
}

void Fill(const Cell& cell, const std::byte* pixel, size_t pixel_bytes) {
  for (size_t y = 0; y < cell.num_rows; ++y) {
    for (size_t x = 0; x < cell.num_columns; ++x) {
      std::memcpy(cell.top_left + y * cell.row_bytes + x * pixel_bytes, pixel,
                  pixel_bytes);
    }
  }
}

void Shrink(DataType datatype, const BoxMeanJob& job) {
  if (datatype == DataType::kFp32) return BoxMeanFp32(job);
  if (datatype == DataType::kUint8) return BoxMeanUint8(job);
  BoxMeanHalf(datatype, job);
}

}  // namespace

PictureGrid::PictureGrid(int num_pictures)
    : num_pictures_(num_pictures),
      num_columns_(ColumnsFor(num_pictures)),
      num_rows_((num_pictures + num_columns_ - 1) / num_columns_) {
  PARM_CHECK(num_pictures >= 1 && num_pictures <= kMaxMembers);
}

absl::Status PictureGrid::CheckPictures(DataType datatype,
                                        absl::Span<const int64_t> shape) const {
  if (datatype != DataType::kFp32 && datatype != DataType::kUint8 &&
      !IsHalfFloat(datatype)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a code cannot shrink pictures of this datatype: got ",
        DataTypeName(datatype), ", want FP32, FP16, BF16 or UINT8"));
  }
  if (shape.size() != 4) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a code lays out pictures only: got shape ", ShapeToString(shape),
        ", want [batch,channels,height,width]"));
  }
  const auto fits = [](int64_t size, int parts) {
    return size == -1 || size % parts == 0;
  };
  if (!fits(shape[2], num_rows_) || !fits(shape[3], num_columns_)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "pictures do not divide into the grid: got shape ",
        ShapeToString(shape), ", want a height that is a multiple of ",
        num_rows_, " and a width that is a multiple of ", num_columns_));
  }
  return absl::OkStatus();
}

void PictureGrid::Encode(absl::Span<const TensorView> members,
                         MutableTensorView parity) const {
  const size_t pixel_bytes = DataTypeSize(parity.datatype);
  const auto box_rows = static_cast<size_t>(num_rows_);
  const auto box_columns = static_cast<size_t>(num_columns_);
  const auto num_planes = static_cast<size_t>(parity.shape[0]) *
                          static_cast<size_t>(parity.shape[1]);
  const auto height = static_cast<size_t>(parity.shape[2]);
  const auto width = static_cast<size_t>(parity.shape[3]);
  const size_t row_bytes = width * pixel_bytes;
  const size_t cell_height = height / box_rows;
  const size_t cell_width = width / box_columns;
  const auto num_pictures = static_cast<size_t>(num_pictures_);
  const size_t num_cells = box_rows * box_columns;

  if (parity.bytes.empty()) return;
  for (size_t plane = 0; plane < num_planes; ++plane) {
    const size_t plane_begin = plane * height * row_bytes;
    Cell cells[kMaxMembers];
    for (size_t i = 0; i < num_cells; ++i) {
      const size_t top = i / box_columns * cell_height;
      const size_t left = i % box_columns * cell_width;
      cells[i] = {.top_left = parity.bytes.data() + plane_begin +
                              top * row_bytes + left * pixel_bytes,
                  .row_bytes = row_bytes,
                  .num_rows = cell_height,
                  .num_columns = cell_width};
      if (i >= num_pictures) continue;
      const BoxMeanJob job = {
          .in = members[i % members.size()].bytes.data() + plane_begin,
          .in_row_bytes = row_bytes,
          .box_rows = box_rows,
          .box_columns = box_columns,
          .num_rows = cell_height,
          .num_columns = cell_width,
          .out = cells[i].top_left,
          .out_row_bytes = row_bytes};
      Shrink(parity.datatype, job);
    }
    if (num_pictures == num_cells) continue;
    std::byte pixel[sizeof(float)];
    if (!MeanPixel(parity.datatype, absl::MakeConstSpan(cells, num_pictures),
                   pixel)) {
      continue;
    }
    for (size_t i = num_pictures; i < num_cells; ++i) {
      Fill(cells[i], pixel, pixel_bytes);
    }
  }
}

}  // namespace parm
