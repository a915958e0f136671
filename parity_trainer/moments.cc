#include "parity_trainer/moments.h"

#include <cmath>
#include <cstring>

#include "base/status_macros.h"

namespace parm {
namespace {

// A data set of one constant value still needs a finite scale.
constexpr double kLeastVariance = 1e-12;

}  // namespace

Moments MomentsOf(DataType datatype, absl::string_view bytes) {
  const size_t size = DataTypeSize(datatype);
  PARM_CHECK(datatype == DataType::kUint8 || datatype == DataType::kFp32);
  PARM_CHECK(bytes.size() >= size);
  const size_t count = bytes.size() / size;
  double sum = 0;
  double sum_of_squares = 0;
  for (size_t i = 0; i < count; ++i) {
    float value = static_cast<uint8_t>(bytes[i * size]);
    if (datatype == DataType::kFp32) {
      std::memcpy(&value, bytes.data() + i * size, size);
    }
    sum += static_cast<double>(value);
    sum_of_squares += static_cast<double>(value) * static_cast<double>(value);
  }
  const double mean = sum / static_cast<double>(count);
  const double variance =
      sum_of_squares / static_cast<double>(count) - mean * mean;
  return {.mean = mean,
          .deviation = variance > kLeastVariance ? std::sqrt(variance) : 1.0};
}

}  // namespace parm
