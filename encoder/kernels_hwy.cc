// Compiled once per instruction set by foreach_target.h; the dispatch at the
// end picks the best one that this CPU has.

#include <algorithm>

#include "encoder/kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "encoder/kernels_hwy.cc"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace parm {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Inputs from element `begin` on, for the plain twin to finish.
struct Rest {
  Rest(absl::Span<const std::byte* const> inputs, size_t begin_bytes)
      : size(inputs.size()) {
    for (size_t j = 0; j < size; ++j) pointers[j] = inputs[j] + begin_bytes;
  }
  absl::Span<const std::byte* const> span() const { return {pointers, size}; }

  const std::byte* pointers[kMaxKernelInputs];
  size_t size;
};

const float* Floats(const std::byte* bytes) {
  return reinterpret_cast<const float*>(bytes);
}

// Floats up to the first of `out` that starts a vector; 0 if none does. Vectors
// that straddle cache lines cost half the speed, and large buffers of one
// allocator tend to be off by the same few bytes, inputs as well as output.
size_t FloatsToAlignment(const float* out, size_t lanes) {
  const auto address = reinterpret_cast<uintptr_t>(out);
  const size_t vector_bytes = lanes * sizeof(float);
  if (address % sizeof(float) != 0) return 0;
  return (vector_bytes - address % vector_bytes) % vector_bytes / sizeof(float);
}

// kUnitWeights: all weights are 1. Returns how many elements are done.
template <bool kUnitWeights>
size_t WeightedSumVectors(const float* HWY_RESTRICT weights,
                          const std::byte* const* inputs, size_t num_inputs,
                          size_t count, float* HWY_RESTRICT out) {
  const hn::ScalableTag<float> d;
  using V = hn::Vec<decltype(d)>;
  const size_t lanes = hn::Lanes(d);
  const float* HWY_RESTRICT floats[kMaxKernelInputs] = {};
  for (size_t j = 0; j < num_inputs; ++j) floats[j] = Floats(inputs[j]);
  const auto load = [&](size_t j, size_t i) HWY_ATTR {
    const V value = hn::LoadU(d, floats[j] + i);
    if constexpr (kUnitWeights) return value;
    return hn::Mul(hn::Set(d, weights[j]), value);
  };
  const auto add_at = [&](size_t i) HWY_ATTR {
    V sum = load(0, i);
    for (size_t j = 1; j < num_inputs; ++j) sum = hn::Add(sum, load(j, i));
    hn::StoreU(sum, d, out + i);
  };
  if (count < lanes) return 0;
  // The first vector overlaps the second, which writes the same values again.
  add_at(0);
  size_t i = FloatsToAlignment(out, lanes);
  if (i == 0) i = lanes;
  for (; i + 4 * lanes <= count; i += 4 * lanes) {
    V sum0 = load(0, i);
    V sum1 = load(0, i + lanes);
    V sum2 = load(0, i + 2 * lanes);
    V sum3 = load(0, i + 3 * lanes);
    for (size_t j = 1; j < num_inputs; ++j) {
      sum0 = hn::Add(sum0, load(j, i));
      sum1 = hn::Add(sum1, load(j, i + lanes));
      sum2 = hn::Add(sum2, load(j, i + 2 * lanes));
      sum3 = hn::Add(sum3, load(j, i + 3 * lanes));
    }
    hn::StoreU(sum0, d, out + i);
    hn::StoreU(sum1, d, out + i + lanes);
    hn::StoreU(sum2, d, out + i + 2 * lanes);
    hn::StoreU(sum3, d, out + i + 3 * lanes);
  }
  for (; i + lanes <= count; i += lanes) add_at(i);
  return i;
}

void WeightedSumTarget(absl::Span<const float> weights,
                       absl::Span<const std::byte* const> inputs, size_t count,
                       std::byte* out) {
  const bool unit_weights =
      std::all_of(weights.begin(), weights.end(),
                  [](float weight) { return weight == 1.0F; });
  auto* out_floats = reinterpret_cast<float*>(out);
  const auto vectors =
      unit_weights ? WeightedSumVectors<true> : WeightedSumVectors<false>;
  const size_t done =
      vectors(weights.data(), inputs.data(), inputs.size(), count, out_floats);
  if (done == count) return;
  const size_t done_bytes = done * sizeof(float);
  WeightedSumPlain(weights, Rest(inputs, done_bytes).span(), count - done,
                   out + done_bytes);
}

void RoundedMeanTarget(absl::Span<const std::byte* const> inputs, size_t count,
                       std::byte* out) {
  const size_t num_inputs = inputs.size();
  if (num_inputs == 1) return RoundedMeanPlain(inputs, count, out);
  const hn::ScalableTag<uint16_t> d16;
  const hn::RebindToSigned<decltype(d16)> d_signed;
  const hn::Rebind<uint8_t, decltype(d16)> d8;
  const size_t lanes = hn::Lanes(d16);
  auto* means = reinterpret_cast<uint8_t*>(out);

  // In integers, (2 * sum + n) / (2 * n) == (sum + n / 2) / n =: x / n. That is
  // a multiplication by ceil(2^16 / n), exact because x * (n - 1) < 2^16 for
  // every n <= 16 that does not divide 2^16. The test tries every sum.
  const auto n = static_cast<uint32_t>(num_inputs);
  const auto half = hn::Set(d16, static_cast<uint16_t>(n / 2));
  const auto reciprocal =
      hn::Set(d16, static_cast<uint16_t>((65536 + n - 1) / n));
  const auto load = [&](size_t j, size_t i) HWY_ATTR {
    const auto* values = reinterpret_cast<const uint8_t*>(inputs[j]);
    return hn::PromoteTo(d16, hn::LoadU(d8, values + i));
  };
  const auto store = [&](hn::Vec<decltype(d16)> sum, size_t i) HWY_ATTR {
    const auto mean = hn::MulHigh(hn::Add(sum, half), reciprocal);
    hn::StoreU(hn::DemoteTo(d8, hn::BitCast(d_signed, mean)), d8, means + i);
  };
  size_t i = 0;
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    auto sum0 = load(0, i);
    auto sum1 = load(0, i + lanes);
    for (size_t j = 1; j < num_inputs; ++j) {
      sum0 = hn::Add(sum0, load(j, i));
      sum1 = hn::Add(sum1, load(j, i + lanes));
    }
    store(sum0, i);
    store(sum1, i + lanes);
  }
  if (i == count) return;
  RoundedMeanPlain(Rest(inputs, i).span(), count - i, out + i);
}

void RoundedWeightedSumTarget(absl::Span<const float> weights, float offset,
                              absl::Span<const std::byte* const> inputs,
                              size_t count, std::byte* out) {
  const hn::ScalableTag<float> d;
  const hn::RebindToSigned<decltype(d)> d32;
  const hn::Rebind<uint8_t, decltype(d)> d8;
  const size_t lanes = hn::Lanes(d);
  auto* bytes = reinterpret_cast<uint8_t*>(out);
  const auto term = [&](size_t j, size_t i) HWY_ATTR {
    const auto* values = reinterpret_cast<const uint8_t*>(inputs[j]);
    const auto value =
        hn::ConvertTo(d, hn::PromoteTo(d32, hn::LoadU(d8, values + i)));
    return hn::Mul(hn::Set(d, weights[j]), value);
  };
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    auto sum = hn::Set(d, offset);
    for (size_t j = 0; j < inputs.size(); ++j) sum = hn::Add(sum, term(j, i));
    sum = hn::Add(sum, hn::Set(d, 0.5F));
    // Conversion cuts off, demotion saturates.
    hn::StoreU(hn::DemoteTo(d8, hn::ConvertTo(d32, sum)), d8, bytes + i);
  }
  if (i == count) return;
  RoundedWeightedSumPlain(weights, offset, Rest(inputs, i).span(), count - i,
                          out + i);
}

bool AllFiniteTarget(const std::byte* values, size_t count) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto value = hn::LoadU(d, Floats(values) + i);
    if (!hn::AllTrue(d, hn::IsFinite(value))) return false;
  }
  return AllFinitePlain(values + i * sizeof(float), count - i);
}

}  // namespace HWY_NAMESPACE
}  // namespace parm
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace parm {

HWY_EXPORT(WeightedSumTarget);
HWY_EXPORT(RoundedMeanTarget);
HWY_EXPORT(RoundedWeightedSumTarget);
HWY_EXPORT(AllFiniteTarget);

void WeightedSum(absl::Span<const float> weights,
                 absl::Span<const std::byte* const> inputs, size_t count,
                 std::byte* out) {
  HWY_DYNAMIC_DISPATCH(WeightedSumTarget)(weights, inputs, count, out);
}

void RoundedMean(absl::Span<const std::byte* const> inputs, size_t count,
                 std::byte* out) {
  HWY_DYNAMIC_DISPATCH(RoundedMeanTarget)(inputs, count, out);
}

void RoundedWeightedSum(absl::Span<const float> weights, float offset,
                        absl::Span<const std::byte* const> inputs, size_t count,
                        std::byte* out) {
  HWY_DYNAMIC_DISPATCH(RoundedWeightedSumTarget)
  (weights, offset, inputs, count, out);
}

bool AllFinite(const std::byte* values, size_t count) {
  return HWY_DYNAMIC_DISPATCH(AllFiniteTarget)(values, count);
}

}  // namespace parm
#endif  // HWY_ONCE
