// Compiled once per instruction set by foreach_target.h, as kernels_hwy.cc. The
// steps are those of half_float_plain.cc, with all cases computed and one
// chosen: Highway's own conversions round differently between targets.

#include <cstdint>

#include "encoder/half_float.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "encoder/half_float_hwy.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace parm {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D32 = hn::ScalableTag<uint32_t>;
using V32 = hn::Vec<D32>;

HWY_INLINE V32 WidenFp16Vector(V32 half) {
  const D32 d;
  const hn::RebindToFloat<D32> d_float;
  const V32 sign = hn::ShiftLeft<16>(hn::And(half, hn::Set(d, 0x8000U)));
  const V32 shifted = hn::ShiftLeft<13>(hn::And(half, hn::Set(d, 0x7FFFU)));
  const V32 exponent = hn::And(shifted, hn::Set(d, 0x1FU << 23));
  const V32 normal = hn::Add(shifted, hn::Set(d, 112U << 23));
  const V32 not_finite = hn::Add(shifted, hn::Set(d, 224U << 23));
  // (1 + fraction) * 2^-14 less 2^-14.
  const auto subnormal =
      hn::Sub(hn::BitCast(d_float, hn::Add(shifted, hn::Set(d, 113U << 23))),
              hn::BitCast(d_float, hn::Set(d, 113U << 23)));
  V32 bits = hn::IfThenElse(hn::Eq(exponent, hn::Set(d, 0x1FU << 23)),
                            not_finite, normal);
  bits = hn::IfThenElse(hn::Eq(exponent, hn::Zero(d)),
                        hn::BitCast(d, subnormal), bits);
  return hn::Or(bits, sign);
}

HWY_INLINE V32 WidenBf16Vector(V32 half) { return hn::ShiftLeft<16>(half); }

// Comparisons are of magnitudes, which as signed numbers are in the same order.
HWY_INLINE hn::Mask<D32> IsBelow(V32 a, uint32_t limit) {
  const D32 d;
  const hn::RebindToSigned<D32> d_signed;
  return hn::RebindMask(d,
                        hn::Lt(hn::BitCast(d_signed, a),
                               hn::Set(d_signed, static_cast<int32_t>(limit))));
}

HWY_INLINE V32 NarrowToFp16Vector(V32 bits) {
  const D32 d;
  const hn::RebindToFloat<D32> d_float;
  const V32 sign = hn::And(hn::ShiftRight<16>(bits), hn::Set(d, 0x8000U));
  const V32 magnitude = hn::And(bits, hn::Set(d, 0x7FFFFFFFU));
  const V32 is_odd = hn::And(hn::ShiftRight<13>(magnitude), hn::Set(d, 1U));
  const V32 normal = hn::ShiftRight<13>(hn::Add(
      hn::Add(hn::Sub(magnitude, hn::Set(d, 112U << 23)), hn::Set(d, 0xFFFU)),
      is_odd));
  const V32 subnormal = hn::Sub(
      hn::BitCast(
          d, hn::Add(hn::BitCast(d_float, magnitude), hn::Set(d_float, 0.5F))),
      hn::Set(d, 0x3F000000U));
  V32 half = hn::IfThenElse(IsBelow(magnitude, 0x38800000U), subnormal, normal);
  half = hn::IfThenElse(IsBelow(magnitude, 0x47800000U), half,
                        hn::Set(d, 0x7C00U));
  half = hn::IfThenElse(IsBelow(magnitude, 0x7F800001U), half,
                        hn::Set(d, 0x7E00U));
  return hn::Or(half, sign);
}

HWY_INLINE V32 NarrowToBf16Vector(V32 bits) {
  const D32 d;
  const V32 high = hn::ShiftRight<16>(bits);
  const V32 is_odd = hn::And(high, hn::Set(d, 1U));
  const V32 rounded =
      hn::ShiftRight<16>(hn::Add(hn::Add(bits, hn::Set(d, 0x7FFFU)), is_odd));
  const V32 magnitude = hn::And(bits, hn::Set(d, 0x7FFFFFFFU));
  return hn::IfThenElse(IsBelow(magnitude, 0x7F800001U), rounded,
                        hn::Or(high, hn::Set(d, 0x40U)));
}

template <typename Widen>
size_t WidenVectors(const std::byte* in, size_t count, std::byte* out,
                    const Widen& widen) {
  const D32 d;
  const hn::Rebind<uint16_t, D32> d16;
  const size_t lanes = hn::Lanes(d);
  const auto* halves = reinterpret_cast<const uint16_t*>(in);
  auto* floats = reinterpret_cast<uint32_t*>(out);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::StoreU(widen(hn::PromoteTo(d, hn::LoadU(d16, halves + i))), d,
               floats + i);
  }
  return i;
}

template <typename Narrow>
size_t NarrowVectors(const std::byte* in, size_t count, std::byte* out,
                     const Narrow& narrow) {
  const D32 d;
  const hn::RebindToSigned<D32> d_signed;
  const hn::Rebind<uint16_t, D32> d16;
  const size_t lanes = hn::Lanes(d);
  const auto* floats = reinterpret_cast<const uint32_t*>(in);
  auto* halves = reinterpret_cast<uint16_t*>(out);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const V32 half = narrow(hn::LoadU(d, floats + i));
    // Below 2^16, so that the saturating conversion keeps it.
    hn::StoreU(hn::DemoteTo(d16, hn::BitCast(d_signed, half)), d16, halves + i);
  }
  return i;
}

void WidenFp16Target(const std::byte* in, size_t count, std::byte* out) {
  const size_t i = WidenVectors(
      in, count, out, [](V32 half) HWY_ATTR { return WidenFp16Vector(half); });
  WidenFp16Plain(in + 2 * i, count - i, out + 4 * i);
}

void WidenBf16Target(const std::byte* in, size_t count, std::byte* out) {
  const size_t i = WidenVectors(
      in, count, out, [](V32 half) HWY_ATTR { return WidenBf16Vector(half); });
  WidenBf16Plain(in + 2 * i, count - i, out + 4 * i);
}

void NarrowToFp16Target(const std::byte* in, size_t count, std::byte* out) {
  const size_t i = NarrowVectors(in, count, out, [](V32 bits) HWY_ATTR {
    return NarrowToFp16Vector(bits);
  });
  NarrowToFp16Plain(in + 4 * i, count - i, out + 2 * i);
}

void NarrowToBf16Target(const std::byte* in, size_t count, std::byte* out) {
  const size_t i = NarrowVectors(in, count, out, [](V32 bits) HWY_ATTR {
    return NarrowToBf16Vector(bits);
  });
  NarrowToBf16Plain(in + 4 * i, count - i, out + 2 * i);
}

}  // namespace HWY_NAMESPACE
}  // namespace parm
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace parm {

HWY_EXPORT(WidenFp16Target);
HWY_EXPORT(WidenBf16Target);
HWY_EXPORT(NarrowToFp16Target);
HWY_EXPORT(NarrowToBf16Target);

void WidenFp16(const std::byte* in, size_t count, std::byte* out) {
  HWY_DYNAMIC_DISPATCH(WidenFp16Target)(in, count, out);
}

void WidenBf16(const std::byte* in, size_t count, std::byte* out) {
  HWY_DYNAMIC_DISPATCH(WidenBf16Target)(in, count, out);
}

void NarrowToFp16(const std::byte* in, size_t count, std::byte* out) {
  HWY_DYNAMIC_DISPATCH(NarrowToFp16Target)(in, count, out);
}

void NarrowToBf16(const std::byte* in, size_t count, std::byte* out) {
  HWY_DYNAMIC_DISPATCH(NarrowToBf16Target)(in, count, out);
}

}  // namespace parm
#endif  // HWY_ONCE
