#pragma once

// Random tensors of every datatype for the property tests of the codecs.

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/buffer.h"
#include "base/tensor.h"
#include "proto/oip/messages.h"

namespace parm::oip {

inline constexpr DataType kJsonDataTypes[] = {
    DataType::kBool,   DataType::kUint8, DataType::kUint16, DataType::kUint32,
    DataType::kUint64, DataType::kInt8,  DataType::kInt16,  DataType::kInt32,
    DataType::kInt64,  DataType::kFp32,  DataType::kFp64,   DataType::kBytes};
inline constexpr DataType kBinaryOnlyDataTypes[] = {DataType::kFp16,
                                                    DataType::kBf16};

inline std::string RandomText(std::mt19937_64& random) {
  std::string text;
  for (size_t i = random() % 12; i > 0; --i) {
    // Control bytes, quotes, backslashes and two-byte characters among them.
    const auto code = static_cast<unsigned>(random() % 0x17F);
    if (code < 0x80) {
      text.push_back(static_cast<char>(code));
    } else {
      text.push_back(static_cast<char>(0xC0 | (code >> 6)));
      text.push_back(static_cast<char>(0x80 | (code & 0x3F)));
    }
  }
  return text;
}

/// Random bit patterns, but finite: JSON has no other numbers.
template <typename Float>
void FillFinite(std::byte* data, size_t size, std::mt19937_64& random) {
  for (size_t i = 0; i + sizeof(Float) <= size; i += sizeof(Float)) {
    Float value;
    do {
      const uint64_t bits = random();
      std::memcpy(&value, &bits, sizeof(value));
    } while (!std::isfinite(value));
    std::memcpy(data + i, &value, sizeof(value));
  }
}

inline Tensor RandomTensor(std::string name, DataType datatype,
                           std::mt19937_64& random) {
  Tensor tensor;
  tensor.spec.name = std::move(name);
  tensor.spec.datatype = datatype;
  int64_t num_elements = 1;
  for (size_t rank = random() % 5; rank > 0; --rank) {
    tensor.spec.shape.push_back(static_cast<int64_t>(random() % 5));
    num_elements *= tensor.spec.shape.back();
  }
  if (datatype == DataType::kBytes) {
    std::string bytes;
    for (int64_t i = 0; i < num_elements; ++i) {
      const std::string text = RandomText(random);
      const auto length = static_cast<uint32_t>(text.size());
      bytes.append(reinterpret_cast<const char*>(&length), sizeof(length));
      bytes.append(text);
    }
    tensor.data = Buffer::FromString(std::move(bytes));
    return tensor;
  }
  const size_t size =
      static_cast<size_t>(num_elements) * DataTypeSize(datatype);
  std::byte* data;
  tensor.data = Buffer::Allocate(size, &data);
  if (datatype == DataType::kFp32) {
    FillFinite<float>(data, size, random);
  } else if (datatype == DataType::kFp64) {
    FillFinite<double>(data, size, random);
  } else {
    for (size_t i = 0; i < size; ++i) {
      data[i] = static_cast<std::byte>(random());
      if (datatype == DataType::kBool) data[i] &= std::byte{1};
    }
  }
  return tensor;
}

}  // namespace parm::oip
