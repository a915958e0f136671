#pragma once

// What stands before the numbers of a NumPy .npy file: arrays in C order with
// little-endian numbers. Training data, reference answers and captured queries
// come and go in this format.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/tensor.h"

namespace parm {

/// More than any header that is read.
inline constexpr size_t kMaxNpyHeaderBytes = 12 + 65536;

struct NpyHeader {
  DataType datatype = DataType::kInvalid;
  std::vector<int64_t> shape;
  size_t size = 0;  // bytes; the numbers begin behind them
};

/// `start`: the file, or its first kMaxNpyHeaderBytes. `file` is used in
/// messages only.
/// Errors: kInvalidArgument if it is no .npy file of version 1 to 3, is in
/// Fortran order, or holds big-endian or structured elements; kDataLoss if it
/// ends within the header.
absl::StatusOr<NpyHeader> ParseNpyHeader(absl::string_view start,
                                         absl::string_view file);

/// Whether .npy files can hold it: not BF16, not BYTES.
bool HasNpyType(DataType datatype);

/// The header of a file of version 1; its size is a multiple of 64.
/// Needs: HasNpyType(datatype); rank <= 16.
std::string WriteNpyHeader(DataType datatype, absl::Span<const int64_t> shape);

}  // namespace parm
