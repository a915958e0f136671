// Compiled once per instruction set by foreach_target.h, as kernels_hwy.cc.

#include <cstdint>

#include "encoder/box_mean.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "encoder/box_mean_hwy.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace parm {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Columns `begin` and on, for the plain twin to finish.
BoxMeanJob RestOf(const BoxMeanJob& job, size_t begin, size_t pixel_bytes) {
  BoxMeanJob rest = job;
  rest.in += begin * job.box_columns * pixel_bytes;
  rest.out += begin * pixel_bytes;
  rest.num_columns -= begin;
  return rest;
}

// Lane i of vector c is column c of box i. kColumns is a constant, so that the
// vectors stay in registers.
template <size_t kColumns, class D, class V>
HWY_INLINE void LoadColumns(D d, const hn::TFromD<D>* HWY_RESTRICT row, V& v0,
                            V& v1, V& v2, V& v3) {
  if constexpr (kColumns == 1) v0 = hn::LoadU(d, row);
  if constexpr (kColumns == 2) hn::LoadInterleaved2(d, row, v0, v1);
  if constexpr (kColumns == 3) hn::LoadInterleaved3(d, row, v0, v1, v2);
  if constexpr (kColumns == 4) hn::LoadInterleaved4(d, row, v0, v1, v2, v3);
}

// Does as many whole vectors of `d` as fit from column `begin` on; returns the
// first column not done.
template <size_t kColumns, class D>
size_t Fp32Columns(D d, const BoxMeanJob& job, size_t begin) {
  const size_t lanes = hn::Lanes(d);
  const auto scale =
      hn::Set(d, 1.0F / static_cast<float>(job.box_rows * job.box_columns));
  const size_t end = begin + (job.num_columns - begin) / lanes * lanes;
  for (size_t y = 0; y < job.num_rows; ++y) {
    const std::byte* in = job.in + y * job.box_rows * job.in_row_bytes;
    auto* out = reinterpret_cast<float*>(job.out + y * job.out_row_bytes);
    for (size_t x = begin; x < end; x += lanes) {
      auto sum0 = hn::Zero(d), sum1 = sum0, sum2 = sum0, sum3 = sum0;
      for (size_t row = 0; row < job.box_rows; ++row) {
        const auto* pixels =
            reinterpret_cast<const float*>(in + row * job.in_row_bytes) +
            x * kColumns;
        auto v0 = hn::Zero(d), v1 = v0, v2 = v0, v3 = v0;
        LoadColumns<kColumns>(d, pixels, v0, v1, v2, v3);
        // Not 0 + v, which would make a zero of a negative one.
        sum0 = row == 0 ? v0 : hn::Add(sum0, v0);
        sum1 = row == 0 ? v1 : hn::Add(sum1, v1);
        sum2 = row == 0 ? v2 : hn::Add(sum2, v2);
        sum3 = row == 0 ? v3 : hn::Add(sum3, v3);
      }
      if constexpr (kColumns > 1) sum0 = hn::Add(sum0, sum1);
      if constexpr (kColumns > 2) sum0 = hn::Add(sum0, sum2);
      if constexpr (kColumns > 3) sum0 = hn::Add(sum0, sum3);
      hn::StoreU(hn::Mul(sum0, scale), d, out + x);
    }
  }
  return end;
}

template <size_t kColumns>
size_t Fp32WithColumns(const BoxMeanJob& job) {
  // Rows of small pictures are shorter than the longest vectors.
  const size_t done = Fp32Columns<kColumns>(hn::ScalableTag<float>(), job, 0);
  return Fp32Columns<kColumns>(hn::CappedTag<float, 4>(), job, done);
}

#if HWY_TARGET != HWY_SCALAR  // which has no halves of vectors

template <size_t kColumns, class D8>
size_t Uint8Columns(D8 d8, const BoxMeanJob& job, size_t begin) {
  const hn::Half<D8> d8_half;
  const hn::Rebind<uint16_t, decltype(d8_half)> d16;
  const hn::RebindToSigned<decltype(d16)> d_signed;
  using V16 = hn::Vec<decltype(d16)>;
  const size_t lanes = hn::Lanes(d8);
  // Division by a multiplication; see RoundedMeanTarget in kernels_hwy.cc. A
  // box has at most 16 pixels.
  const size_t size = job.box_rows * job.box_columns;
  const V16 half = hn::Set(d16, static_cast<uint16_t>(size / 2));
  const V16 reciprocal =
      hn::Set(d16, static_cast<uint16_t>((65536 + size - 1) / size));
  const auto mean_of = [&](V16 sum) HWY_ATTR {
    const V16 mean = hn::MulHigh(hn::Add(sum, half), reciprocal);
    return hn::DemoteTo(d8_half, hn::BitCast(d_signed, mean));
  };
  const size_t end = begin + (job.num_columns - begin) / lanes * lanes;
  for (size_t y = 0; y < job.num_rows; ++y) {
    const std::byte* in = job.in + y * job.box_rows * job.in_row_bytes;
    auto* out = reinterpret_cast<uint8_t*>(job.out + y * job.out_row_bytes);
    for (size_t x = begin; x < end; x += lanes) {
      V16 low = hn::Zero(d16);
      V16 high = low;
      const auto add = [&](hn::Vec<D8> pixels) HWY_ATTR {
        low = hn::Add(low, hn::PromoteTo(d16, hn::LowerHalf(d8_half, pixels)));
        high =
            hn::Add(high, hn::PromoteTo(d16, hn::UpperHalf(d8_half, pixels)));
      };
      for (size_t row = 0; row < job.box_rows; ++row) {
        const auto* pixels =
            reinterpret_cast<const uint8_t*>(in + row * job.in_row_bytes) +
            x * kColumns;
        auto v0 = hn::Zero(d8), v1 = v0, v2 = v0, v3 = v0;
        LoadColumns<kColumns>(d8, pixels, v0, v1, v2, v3);
        add(v0);
        if constexpr (kColumns > 1) add(v1);
        if constexpr (kColumns > 2) add(v2);
        if constexpr (kColumns > 3) add(v3);
      }
      hn::StoreU(mean_of(low), d8_half, out + x);
      hn::StoreU(mean_of(high), d8_half, out + x + lanes / 2);
    }
  }
  return end;
}

template <size_t kColumns>
size_t Uint8WithColumns(const BoxMeanJob& job) {
  const size_t done =
      Uint8Columns<kColumns>(hn::ScalableTag<uint8_t>(), job, 0);
  return Uint8Columns<kColumns>(hn::CappedTag<uint8_t, 16>(), job, done);
}

#endif  // HWY_TARGET != HWY_SCALAR

void BoxMeanFp32Target(const BoxMeanJob& job) {
  size_t done = 0;
  if (job.box_columns == 1) done = Fp32WithColumns<1>(job);
  if (job.box_columns == 2) done = Fp32WithColumns<2>(job);
  if (job.box_columns == 3) done = Fp32WithColumns<3>(job);
  if (job.box_columns == 4) done = Fp32WithColumns<4>(job);
  if (done < job.num_columns) {
    BoxMeanFp32Plain(RestOf(job, done, sizeof(float)));
  }
}

void BoxMeanUint8Target(const BoxMeanJob& job) {
  size_t done = 0;
  // A box of one pixel has no reciprocal in 16 bits.
  if (job.box_rows * job.box_columns == 1) return BoxMeanUint8Plain(job);
#if HWY_TARGET != HWY_SCALAR
  if (job.box_columns == 1) done = Uint8WithColumns<1>(job);
  if (job.box_columns == 2) done = Uint8WithColumns<2>(job);
  if (job.box_columns == 3) done = Uint8WithColumns<3>(job);
  if (job.box_columns == 4) done = Uint8WithColumns<4>(job);
#endif
  if (done < job.num_columns) BoxMeanUint8Plain(RestOf(job, done, 1));
}

}  // namespace HWY_NAMESPACE
}  // namespace parm
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace parm {

HWY_EXPORT(BoxMeanFp32Target);
HWY_EXPORT(BoxMeanUint8Target);

void BoxMeanFp32(const BoxMeanJob& job) {
  HWY_DYNAMIC_DISPATCH(BoxMeanFp32Target)(job);
}

void BoxMeanUint8(const BoxMeanJob& job) {
  HWY_DYNAMIC_DISPATCH(BoxMeanUint8Target)(job);
}

}  // namespace parm
#endif  // HWY_ONCE
