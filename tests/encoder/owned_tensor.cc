#include "tests/encoder/owned_tensor.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "base/status_macros.h"

namespace parm {
namespace {

template <typename T>
std::vector<double> ReadAs(const std::vector<std::byte>& bytes) {
  std::vector<double> values;
  for (size_t i = 0; i + sizeof(T) <= bytes.size(); i += sizeof(T)) {
    T value;
    std::memcpy(&value, bytes.data() + i, sizeof(T));
    values.push_back(static_cast<double>(value));
  }
  return values;
}

// A 16-bit float: its bits of fraction, and the exponent of its smallest normal
// value.
struct HalfFormat {
  int fraction_bits;
  int smallest_exponent;
};
constexpr HalfFormat kFp16Format = {.fraction_bits = 10,
                                    .smallest_exponent = -14};
constexpr HalfFormat kBf16Format = {.fraction_bits = 7,
                                    .smallest_exponent = -126};

// Finite values only, which is what the tests make.
uint16_t ToHalf(double value, const HalfFormat& format) {
  const double magnitude = std::abs(value);
  const int exponent = magnitude == 0 ? format.smallest_exponent
                                      : std::max(std::ilogb(magnitude),
                                                 format.smallest_exponent);
  // In units of the last place; nearbyint takes ties to even.
  const double units =
      std::nearbyint(std::ldexp(magnitude, format.fraction_bits - exponent));
  // A carry, 2^(fraction_bits + 1), adds one to the exponent field by itself.
  const auto bits = static_cast<uint32_t>(units) +
                    (static_cast<uint32_t>(exponent - format.smallest_exponent)
                     << format.fraction_bits);
  return static_cast<uint16_t>(bits | (std::signbit(value) ? 0x8000U : 0U));
}

double FromHalf(uint16_t half, const HalfFormat& format) {
  const uint32_t field = (half & 0x7FFFU) >> format.fraction_bits;
  const uint32_t fraction = half & ((1U << format.fraction_bits) - 1);
  const double units =
      fraction + (field == 0 ? 0.0 : std::ldexp(1, format.fraction_bits));
  const int exponent =
      format.smallest_exponent + static_cast<int>(field == 0 ? 0 : field - 1);
  const double magnitude = std::ldexp(units, exponent - format.fraction_bits);
  return (half & 0x8000U) != 0 ? -magnitude : magnitude;
}

std::vector<double> ReadHalves(const std::vector<std::byte>& bytes,
                               const HalfFormat& format) {
  std::vector<double> values = ReadAs<uint16_t>(bytes);
  for (double& value : values) {
    value = FromHalf(static_cast<uint16_t>(value), format);
  }
  return values;
}

template <typename T>
std::vector<std::byte> WriteAs(const std::vector<double>& values) {
  std::vector<std::byte> bytes(values.size() * sizeof(T));
  for (size_t i = 0; i < values.size(); ++i) {
    const T value = static_cast<T>(values[i]);
    std::memcpy(bytes.data() + i * sizeof(T), &value, sizeof(T));
  }
  return bytes;
}

std::vector<std::byte> WriteHalves(std::vector<double> values,
                                   const HalfFormat& format) {
  for (double& value : values) value = ToHalf(value, format);
  return WriteAs<uint16_t>(values);
}

}  // namespace

double HalfUnit(DataType datatype) {
  if (datatype == DataType::kFp16) return 0x1p-11;
  if (datatype == DataType::kBf16) return 0x1p-8;
  return 0;
}

OwnedTensor OwnedTensor::Zeros(DataType datatype, std::vector<int64_t> shape) {
  const absl::StatusOr<int64_t> size = NumBytes(datatype, shape);
  PARM_CHECK(size.ok());
  return {datatype, std::move(shape),
          std::vector<std::byte>(static_cast<size_t>(*size))};
}

OwnedTensor OwnedTensor::Of(DataType datatype, std::vector<int64_t> shape,
                            const std::vector<double>& values) {
  OwnedTensor tensor = Zeros(datatype, std::move(shape));
  const size_t want_bytes = tensor.bytes.size();
  switch (datatype) {
    case DataType::kFp32:
      tensor.bytes = WriteAs<float>(values);
      break;
    case DataType::kFp16:
      tensor.bytes = WriteHalves(values, kFp16Format);
      break;
    case DataType::kBf16:
      tensor.bytes = WriteHalves(values, kBf16Format);
      break;
    case DataType::kUint8:
      tensor.bytes = WriteAs<uint8_t>(values);
      break;
    case DataType::kInt64:
      tensor.bytes = WriteAs<int64_t>(values);
      break;
    default:
      PARM_CHECK(false);
  }
  PARM_CHECK(tensor.bytes.size() == want_bytes);
  return tensor;
}

std::vector<double> OwnedTensor::Values() const {
  switch (datatype) {
    case DataType::kFp32:
      return ReadAs<float>(bytes);
    case DataType::kFp16:
      return ReadHalves(bytes, kFp16Format);
    case DataType::kBf16:
      return ReadHalves(bytes, kBf16Format);
    case DataType::kUint8:
      return ReadAs<uint8_t>(bytes);
    case DataType::kInt64:
      return ReadAs<int64_t>(bytes);
    default:
      PARM_CHECK(false);
      return {};
  }
}

}  // namespace parm
