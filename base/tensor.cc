#include "base/tensor.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace parm {
namespace {

struct DataTypeInfo {
  DataType datatype;
  absl::string_view name;
  size_t size;
};

constexpr DataTypeInfo kDataTypes[] = {
    {DataType::kInvalid, "INVALID", 0}, {DataType::kBool, "BOOL", 1},
    {DataType::kUint8, "UINT8", 1},     {DataType::kUint16, "UINT16", 2},
    {DataType::kUint32, "UINT32", 4},   {DataType::kUint64, "UINT64", 8},
    {DataType::kInt8, "INT8", 1},       {DataType::kInt16, "INT16", 2},
    {DataType::kInt32, "INT32", 4},     {DataType::kInt64, "INT64", 8},
    {DataType::kFp16, "FP16", 2},       {DataType::kBf16, "BF16", 2},
    {DataType::kFp32, "FP32", 4},       {DataType::kFp64, "FP64", 8},
    {DataType::kBytes, "BYTES", 0},
};

const DataTypeInfo& Info(DataType datatype) {
  const auto index = static_cast<size_t>(datatype);
  return index < std::size(kDataTypes) ? kDataTypes[index] : kDataTypes[0];
}

constexpr int64_t kMaxElements = int64_t{1} << 62;

}  // namespace

size_t DataTypeSize(DataType datatype) { return Info(datatype).size; }

absl::string_view DataTypeName(DataType datatype) {
  return Info(datatype).name;
}

DataType ParseDataType(absl::string_view name) {
  for (const DataTypeInfo& info : kDataTypes) {
    if (info.datatype != DataType::kInvalid && info.name == name) {
      return info.datatype;
    }
  }
  return DataType::kInvalid;
}

absl::StatusOr<int64_t> NumElements(absl::Span<const int64_t> shape) {
  bool is_empty = false;
  for (int64_t dimension : shape) {
    if (dimension < 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          "a shape has a negative dimension: got ", ShapeToString(shape)));
    }
    is_empty = is_empty || dimension == 0;
  }
  if (is_empty) return 0;
  int64_t count = 1;
  for (int64_t dimension : shape) {
    if (count > kMaxElements / dimension) {
      return absl::InvalidArgumentError(
          absl::StrCat("a shape is too large: got ", ShapeToString(shape)));
    }
    count *= dimension;
  }
  return count;
}

absl::StatusOr<int64_t> NumBytes(DataType datatype,
                                 absl::Span<const int64_t> shape) {
  const auto size = static_cast<int64_t>(DataTypeSize(datatype));
  if (size == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "datatype has no fixed size: got ", DataTypeName(datatype)));
  }
  absl::StatusOr<int64_t> count = NumElements(shape);
  if (!count.ok()) return count.status();
  if (*count > kMaxElements / size) {
    return absl::InvalidArgumentError(
        absl::StrCat("a shape is too large: got ", ShapeToString(shape)));
  }
  return *count * size;
}

std::string ShapeToString(absl::Span<const int64_t> shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ","), "]");
}

}  // namespace parm
