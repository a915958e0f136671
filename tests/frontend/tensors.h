#pragma once

// Small tensors for tests of the frontend.

#include <cstring>
#include <string>
#include <vector>

#include "proto/oip/messages.h"

namespace parm {

inline oip::Tensor Fp32Tensor(const std::string& name,
                              const std::vector<int64_t>& shape,
                              const std::vector<float>& values) {
  return {
      .spec = {.name = name, .datatype = DataType::kFp32, .shape = shape},
      .data = Buffer::CopyOf({reinterpret_cast<const std::byte*>(values.data()),
                              values.size() * sizeof(float)})};
}

inline std::vector<float> Floats(const oip::Tensor& tensor) {
  std::vector<float> values(tensor.data.size() / sizeof(float));
  if (!values.empty()) {
    std::memcpy(values.data(), tensor.data.bytes().data(),
                values.size() * sizeof(float));
  }
  return values;
}

}  // namespace parm
