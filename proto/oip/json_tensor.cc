#include "proto/oip/json_tensor.h"

#include <simdjson.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace parm::oip {
namespace {

using simdjson::dom::element;
using simdjson::dom::element_type;

absl::Status WrongType(DataType datatype) {
  return absl::InvalidArgumentError(absl::StrCat(
      "a value does not fit the datatype: want ", DataTypeName(datatype)));
}

absl::Status WrongCount(int64_t num_elements) {
  return absl::InvalidArgumentError(absl::StrCat(
      "the number of values differs from the shape: want ", num_elements));
}

/// One value as T; false if it has another type or does not fit.
template <typename T>
bool Convert(const element& value, bool null_is_nan, T* out) {
  if constexpr (std::is_same_v<T, bool>) {
    return value.get(*out) == simdjson::SUCCESS;
  } else if constexpr (std::is_floating_point_v<T>) {
    double number;
    if (value.get(number) == simdjson::SUCCESS) {
      // Rounds to infinity where T is too small, which is then refused.
      *out = static_cast<T>(number);
      return std::isfinite(*out);
    }
    *out = std::numeric_limits<T>::quiet_NaN();
    return null_is_nan && value.is_null();
  } else if constexpr (std::is_signed_v<T>) {
    int64_t number;
    if (value.get(number) != simdjson::SUCCESS) return false;
    *out = static_cast<T>(number);
    return number >= std::numeric_limits<T>::min() &&
           number <= std::numeric_limits<T>::max();
  } else {
    uint64_t number;
    if (value.get(number) != simdjson::SUCCESS) return false;
    *out = static_cast<T>(number);
    return number <= std::numeric_limits<T>::max();
  }
}

/// Where the leaves of a nested array go.
struct Destination {
  std::byte* next;
  const std::byte* end;
  DataType datatype;
  int64_t num_elements;
  bool null_is_nan;
};

// The nesting was bounded by the parser, so the recursion is bounded too.
template <typename T>
absl::Status ReadLeaves(const simdjson::dom::array& array, Destination* to) {
  for (const element value : array) {
    if (value.type() == element_type::ARRAY) {
      PARM_RETURN_IF_ERROR(ReadLeaves<T>(value.get_array().value_unsafe(), to));
      continue;
    }
    if (to->next == to->end) return WrongCount(to->num_elements);
    T number;
    if (!Convert(value, to->null_is_nan, &number)) {
      return WrongType(to->datatype);
    }
    std::memcpy(to->next, &number, sizeof(T));
    to->next += sizeof(T);
  }
  return absl::OkStatus();
}

template <typename T>
absl::StatusOr<Buffer> ReadNumbers(const simdjson::dom::array& array,
                                   DataType datatype, int64_t num_elements,
                                   const JsonTensorOptions& options) {
  const size_t size = static_cast<size_t>(num_elements) * sizeof(T);
  std::byte* data;
  Buffer buffer = Buffer::Allocate(size, &data);
  Destination to{.next = data,
                 .end = data + size,
                 .datatype = datatype,
                 .num_elements = num_elements,
                 .null_is_nan = options.null_is_nan};
  PARM_RETURN_IF_ERROR(ReadLeaves<T>(array, &to));
  if (to.next != to.end) return WrongCount(num_elements);
  return buffer;
}

absl::Status ReadStrings(const simdjson::dom::array& array, size_t max_bytes,
                         int64_t* num_elements, std::string* out) {
  for (const element value : array) {
    if (value.type() == element_type::ARRAY) {
      PARM_RETURN_IF_ERROR(ReadStrings(value.get_array().value_unsafe(),
                                       max_bytes, num_elements, out));
      continue;
    }
    std::string_view text;
    if (value.get(text) != simdjson::SUCCESS) {
      return WrongType(DataType::kBytes);
    }
    if (out->size() + sizeof(uint32_t) + text.size() > max_bytes) {
      return absl::InvalidArgumentError(absl::StrCat(
          "a tensor is too large: want at most ", max_bytes, " bytes"));
    }
    const auto length = static_cast<uint32_t>(text.size());
    char prefix[sizeof(length)];
    std::memcpy(prefix, &length, sizeof(length));
    out->append(prefix, sizeof(prefix));
    out->append(text);
    ++*num_elements;
  }
  return absl::OkStatus();
}

absl::StatusOr<Buffer> ReadBytes(const simdjson::dom::array& array,
                                 int64_t num_elements, size_t max_bytes) {
  std::string text;
  int64_t num_found = 0;
  PARM_RETURN_IF_ERROR(ReadStrings(array, max_bytes, &num_found, &text));
  if (num_found != num_elements) return WrongCount(num_elements);
  return Buffer::FromString(std::move(text));
}

absl::Status NoJsonForm(DataType datatype) {
  return absl::InvalidArgumentError(
      absl::StrCat("JSON cannot carry this datatype, use binary data: got ",
                   DataTypeName(datatype)));
}

template <typename T>
void WriteNumbers(absl::Span<const std::byte> bytes, JsonWriter* writer) {
  for (size_t i = 0; i + sizeof(T) <= bytes.size(); i += sizeof(T)) {
    T number;
    std::memcpy(&number, bytes.data() + i, sizeof(T));
    if constexpr (std::is_same_v<T, float>) {
      writer->Float(number);
    } else if constexpr (std::is_same_v<T, double>) {
      writer->Double(number);
    } else if constexpr (std::is_signed_v<T>) {
      writer->Int(number);
    } else {
      writer->Uint(number);
    }
  }
}

absl::Status WriteStrings(absl::Span<const std::byte> bytes,
                          JsonWriter* writer) {
  while (!bytes.empty()) {
    uint32_t length;
    if (bytes.size() < sizeof(length)) {
      return absl::InvalidArgumentError("a BYTES tensor is cut off");
    }
    std::memcpy(&length, bytes.data(), sizeof(length));
    bytes.remove_prefix(sizeof(length));
    if (bytes.size() < length) {
      return absl::InvalidArgumentError("a BYTES tensor is cut off");
    }
    const auto* text = reinterpret_cast<const char*>(bytes.data());
    if (!simdjson::validate_utf8(text, length)) {
      return absl::InvalidArgumentError(
          "a BYTES element is not UTF-8, which JSON cannot carry: use binary "
          "data");
    }
    writer->String(absl::string_view(text, length));
    bytes.remove_prefix(length);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Buffer> ReadJsonTensor(const element& data, DataType datatype,
                                      int64_t num_elements,
                                      const JsonTensorOptions& options) {
  simdjson::dom::array array;
  if (data.get(array) != simdjson::SUCCESS) {
    return absl::InvalidArgumentError("data must be an array");
  }
  const auto max_elements = static_cast<int64_t>(
      options.max_bytes / std::max<size_t>(1, DataTypeSize(datatype)));
  if (num_elements > max_elements) {
    return absl::InvalidArgumentError(
        absl::StrCat("a tensor is too large: got ", num_elements,
                     " elements, want at most ", max_elements));
  }
  if (num_elements > static_cast<int64_t>(options.json_bytes)) {
    return WrongCount(num_elements);
  }
  switch (datatype) {
    case DataType::kBool:
      return ReadNumbers<bool>(array, datatype, num_elements, options);
    case DataType::kUint8:
      return ReadNumbers<uint8_t>(array, datatype, num_elements, options);
    case DataType::kUint16:
      return ReadNumbers<uint16_t>(array, datatype, num_elements, options);
    case DataType::kUint32:
      return ReadNumbers<uint32_t>(array, datatype, num_elements, options);
    case DataType::kUint64:
      return ReadNumbers<uint64_t>(array, datatype, num_elements, options);
    case DataType::kInt8:
      return ReadNumbers<int8_t>(array, datatype, num_elements, options);
    case DataType::kInt16:
      return ReadNumbers<int16_t>(array, datatype, num_elements, options);
    case DataType::kInt32:
      return ReadNumbers<int32_t>(array, datatype, num_elements, options);
    case DataType::kInt64:
      return ReadNumbers<int64_t>(array, datatype, num_elements, options);
    case DataType::kFp32:
      return ReadNumbers<float>(array, datatype, num_elements, options);
    case DataType::kFp64:
      return ReadNumbers<double>(array, datatype, num_elements, options);
    case DataType::kBytes:
      return ReadBytes(array, num_elements, options.max_bytes);
    case DataType::kFp16:
    case DataType::kBf16:
    case DataType::kInvalid:
      break;
  }
  return NoJsonForm(datatype);
}

absl::Status WriteJsonTensor(const TensorView& tensor, JsonWriter* writer) {
  writer->BeginArray();
  switch (tensor.datatype) {
    case DataType::kBool:
      for (const std::byte value : tensor.bytes) {
        writer->Bool(value != std::byte{0});
      }
      break;
    case DataType::kUint8:
      WriteNumbers<uint8_t>(tensor.bytes, writer);
      break;
    case DataType::kUint16:
      WriteNumbers<uint16_t>(tensor.bytes, writer);
      break;
    case DataType::kUint32:
      WriteNumbers<uint32_t>(tensor.bytes, writer);
      break;
    case DataType::kUint64:
      WriteNumbers<uint64_t>(tensor.bytes, writer);
      break;
    case DataType::kInt8:
      WriteNumbers<int8_t>(tensor.bytes, writer);
      break;
    case DataType::kInt16:
      WriteNumbers<int16_t>(tensor.bytes, writer);
      break;
    case DataType::kInt32:
      WriteNumbers<int32_t>(tensor.bytes, writer);
      break;
    case DataType::kInt64:
      WriteNumbers<int64_t>(tensor.bytes, writer);
      break;
    case DataType::kFp32:
      WriteNumbers<float>(tensor.bytes, writer);
      break;
    case DataType::kFp64:
      WriteNumbers<double>(tensor.bytes, writer);
      break;
    case DataType::kBytes:
      PARM_RETURN_IF_ERROR(WriteStrings(tensor.bytes, writer));
      break;
    case DataType::kFp16:
    case DataType::kBf16:
    case DataType::kInvalid:
      return NoJsonForm(tensor.datatype);
  }
  writer->EndArray();
  return absl::OkStatus();
}

absl::Status CheckBytesTensor(absl::Span<const std::byte> bytes,
                              int64_t num_elements) {
  int64_t num_found = 0;
  while (!bytes.empty()) {
    uint32_t length;
    if (bytes.size() < sizeof(length)) {
      return absl::InvalidArgumentError(
          "a BYTES tensor is cut off inside a length");
    }
    std::memcpy(&length, bytes.data(), sizeof(length));
    bytes.remove_prefix(sizeof(length));
    if (bytes.size() < length) {
      return absl::InvalidArgumentError(
          absl::StrCat("a BYTES tensor is cut off: got ", bytes.size(),
                       " bytes for an element of ", length));
    }
    bytes.remove_prefix(length);
    ++num_found;
  }
  if (num_found != num_elements) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the number of BYTES elements differs from the shape: got ", num_found,
        ", want ", num_elements));
  }
  return absl::OkStatus();
}

}  // namespace parm::oip
