#include "encoder/picture_grid.h"

#include <cstdint>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "encoder/box_mean.h"
#include "encoder/code.h"

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

float MeanOf(double sum, size_t count) {
  return static_cast<float>(sum / static_cast<double>(count));
}

uint8_t MeanOf(uint64_t sum, size_t count) {
  return static_cast<uint8_t>((2 * sum + count) / (2 * count));
}

// Sums of T are kept in Sum, which holds any that a tensor can have: exactly
// for bytes, and well enough for floats that their order does not show.
template <typename T, typename Sum>
void FillWithMean(absl::Span<const Cell> filled, absl::Span<const Cell> spare) {
  Sum sum = 0;
  size_t count = 0;
  for (const Cell& cell : filled) {
    for (size_t y = 0; y < cell.num_rows; ++y) {
      for (size_t x = 0; x < cell.num_columns; ++x) {
        T value;
        std::memcpy(&value, cell.top_left + y * cell.row_bytes + x * sizeof(T),
                    sizeof(T));
        sum += value;
      }
    }
    count += cell.num_rows * cell.num_columns;
  }
  if (count == 0) return;
  const T mean = MeanOf(sum, count);
  for (const Cell& cell : spare) {
    for (size_t y = 0; y < cell.num_rows; ++y) {
      for (size_t x = 0; x < cell.num_columns; ++x) {
        std::memcpy(cell.top_left + y * cell.row_bytes + x * sizeof(T), &mean,
                    sizeof(T));
      }
    }
  }
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
  if (datatype != DataType::kFp32 && datatype != DataType::kUint8) {
    return absl::InvalidArgumentError(
        absl::StrCat("a code cannot shrink pictures of this datatype: got ",
                     DataTypeName(datatype), ", want FP32 or UINT8"));
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
  const bool is_fp32 = parity.datatype == DataType::kFp32;
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
      is_fp32 ? BoxMeanFp32(job) : BoxMeanUint8(job);
    }
    if (num_pictures == num_cells) continue;
    const auto filled = absl::MakeConstSpan(cells, num_pictures);
    const auto spare =
        absl::MakeConstSpan(cells, num_cells).subspan(num_pictures);
    is_fp32 ? FillWithMean<float, double>(filled, spare)
            : FillWithMean<uint8_t, uint64_t>(filled, spare);
  }
}

}  // namespace parm
