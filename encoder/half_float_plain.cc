#include <bit>
#include <cstdint>
#include <cstring>

#include "encoder/half_float.h"

namespace parm {
namespace {

template <typename In, typename Out>
void Convert(const std::byte* in, size_t count, std::byte* out,
             Out (*convert)(In)) {
  for (size_t i = 0; i < count; ++i) {
    In value;
    std::memcpy(&value, in + i * sizeof(In), sizeof(In));
    const Out converted = convert(value);
    std::memcpy(out + i * sizeof(Out), &converted, sizeof(Out));
  }
}

float Fp16ToFloat(uint16_t half) {
  const uint32_t sign = (half & 0x8000U) << 16;
  const uint32_t exponent = (half >> 10) & 0x1FU;
  const uint32_t fraction = half & 0x3FFU;
  if (exponent == 0) {  // Zero or subnormal: a multiple of 2^-24.
    const float magnitude = static_cast<float>(fraction) * 0x1p-24F;
    return std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude) | sign);
  }
  const uint32_t wide_exponent = exponent == 0x1F ? 0xFF : exponent + 127 - 15;
  return std::bit_cast<float>(sign | (wide_exponent << 23) | (fraction << 13));
}

uint16_t FloatToFp16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000U);
  const uint32_t magnitude = bits & 0x7FFFFFFFU;
  uint32_t half = 0;
  if (magnitude > 0x7F800000U) {
    half = 0x7E00;  // Not a number.
  } else if (magnitude >= 0x47800000U) {
    half = 0x7C00;  // 2^16 or more.
  } else if (magnitude < 0x38800000U) {
    // Subnormal: adding 0.5 leaves multiples of 2^-24 in the fraction, rounded
    // by the addition itself.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5F;
    half = std::bit_cast<uint32_t>(shifted) - 0x3F000000U;
  } else {
    // A carry out of the fraction raises the exponent, up to infinity.
    const uint32_t is_odd = (magnitude >> 13) & 1U;
    half = (magnitude - (112U << 23) + 0xFFFU + is_odd) >> 13;
  }
  return static_cast<uint16_t>(sign | half);
}

float Bf16ToFloat(uint16_t half) {
  return std::bit_cast<float>(uint32_t{half} << 16);
}

uint16_t FloatToBf16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) {
    return static_cast<uint16_t>((bits >> 16) | 0x40U);  // Not a number.
  }
  const uint32_t is_odd = (bits >> 16) & 1U;
  return static_cast<uint16_t>((bits + 0x7FFFU + is_odd) >> 16);
}

}  // namespace

void WidenFp16Plain(const std::byte* in, size_t count, std::byte* out) {
  Convert<uint16_t, float>(in, count, out, Fp16ToFloat);
}

void WidenBf16Plain(const std::byte* in, size_t count, std::byte* out) {
  Convert<uint16_t, float>(in, count, out, Bf16ToFloat);
}

void NarrowToFp16Plain(const std::byte* in, size_t count, std::byte* out) {
  Convert<float, uint16_t>(in, count, out, FloatToFp16);
}

void NarrowToBf16Plain(const std::byte* in, size_t count, std::byte* out) {
  Convert<float, uint16_t>(in, count, out, FloatToBf16);
}

}  // namespace parm
