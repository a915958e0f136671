#pragma once

// A tensor that owns its bytes, without torch: what passes between data sets,
// codes, models and .npy files inside the trainer.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "base/tensor.h"

namespace parm {

struct HostTensor {
  DataType datatype = DataType::kInvalid;
  std::vector<int64_t> shape;
  std::string bytes;  // little-endian, row-major

  TensorView view() const {
    return {.datatype = datatype,
            .shape = shape,
            .bytes = {reinterpret_cast<const std::byte*>(bytes.data()),
                      bytes.size()}};
  }
  MutableTensorView mutable_view() {
    return {
        .datatype = datatype,
        .shape = shape,
        .bytes = {reinterpret_cast<std::byte*>(bytes.data()), bytes.size()}};
  }
  /// Needs: datatype is kFp32; std::string's storage is aligned for it.
  absl::Span<const float> floats() const {
    return {reinterpret_cast<const float*>(bytes.data()),
            bytes.size() / sizeof(float)};
  }
};

/// Rows [begin, begin + count) of dimension 0.
/// Needs: they lie inside.
HostTensor SliceRows(const HostTensor& tensor, int64_t begin, int64_t count);

}  // namespace parm
