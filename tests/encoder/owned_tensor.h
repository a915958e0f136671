#pragma once

// Tensors for the tests of encoder/: made from numbers, read back as numbers.
// Conversions to 16-bit floats are independent of those in encoder/.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/tensor.h"

namespace parm {

/// A tensor that owns its bytes.
struct OwnedTensor {
  DataType datatype = DataType::kInvalid;
  std::vector<int64_t> shape;
  std::vector<std::byte> bytes;

  /// All zero.
  static OwnedTensor Zeros(DataType datatype, std::vector<int64_t> shape);
  /// Values in row-major order. Takes FP32, FP16, BF16, UINT8
  /// and INT64.
  static OwnedTensor Of(DataType datatype, std::vector<int64_t> shape,
                        const std::vector<double>& values);

  TensorView View() const { return {datatype, shape, bytes}; }
  MutableTensorView MutableView() {
    return {datatype, shape, absl::MakeSpan(bytes)};
  }
  std::vector<double> Values() const;
};

/// By how much rounding to this datatype may change a value, relative to it: 0
/// but for FP16 and BF16.
double HalfUnit(DataType datatype);

}  // namespace parm
