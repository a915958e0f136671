#pragma once

// What a tensor is on every path: a datatype of the Open Inference Protocol, a
// shape, and little-endian row-major bytes that somebody else owns.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace parm {

/// Numeric values are wire values (proto/envelope.proto): never renumber.
enum class DataType : uint8_t {
  kInvalid = 0,
  kBool = 1,
  kUint8 = 2,
  kUint16 = 3,
  kUint32 = 4,
  kUint64 = 5,
  kInt8 = 6,
  kInt16 = 7,
  kInt32 = 8,
  kInt64 = 9,
  kFp16 = 10,
  kBf16 = 11,
  kFp32 = 12,
  kFp64 = 13,
  kBytes = 14,
};

/// Bytes per element; 0 for kBytes (each element has its own length) and
/// kInvalid.
size_t DataTypeSize(DataType datatype);

/// "FP32" and so on, as the Open Inference Protocol spells it.
absl::string_view DataTypeName(DataType datatype);

/// kInvalid if `name` is none of the protocol's names.
DataType ParseDataType(absl::string_view name);

/// Name, datatype and shape of one input or output. In a manifest or in model
/// metadata a dimension of -1 is variable; elsewhere all are >= 0.
struct TensorSpec {
  std::string name;
  DataType datatype = DataType::kInvalid;
  std::vector<int64_t> shape;

  bool operator==(const TensorSpec&) const = default;
};

/// Product of the dimensions, 1 for a scalar.
/// Errors: kInvalidArgument if a dimension is negative or the product
/// overflows 2^62.
absl::StatusOr<int64_t> NumElements(absl::Span<const int64_t> shape);

/// Elements times element size.
/// Errors: as NumElements; kInvalidArgument for a type without a fixed size.
absl::StatusOr<int64_t> NumBytes(DataType datatype,
                                 absl::Span<const int64_t> shape);

/// "[2,3]", for messages.
std::string ShapeToString(absl::Span<const int64_t> shape);

/// A tensor to read. Never outlives the call it is passed to.
struct TensorView {
  DataType datatype = DataType::kInvalid;
  absl::Span<const int64_t> shape;
  absl::Span<const std::byte> bytes;
};

/// A tensor to write, of exactly the right size.
struct MutableTensorView {
  DataType datatype = DataType::kInvalid;
  absl::Span<const int64_t> shape;
  absl::Span<std::byte> bytes;
};

}  // namespace parm
