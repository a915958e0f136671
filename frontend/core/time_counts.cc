#include "frontend/core/time_counts.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace parm::core {

size_t TimeCounts::BucketOf(Duration value) {
  constexpr int64_t kLow = int64_t{1} << kLowBits;
  constexpr int64_t kHigh = int64_t{1} << kHighBits;
  const auto v = static_cast<uint64_t>(
      std::clamp<int64_t>(value.count(), kLow, kHigh - 1));
  const int bits = static_cast<int>(std::bit_width(v)) - 1;
  const auto sub = (v >> (bits - kSubBits)) - (1U << kSubBits);
  return (static_cast<size_t>(bits - kLowBits) << kSubBits) + sub;
}

Duration TimeCounts::UpperBound(size_t bucket) {
  const size_t octave = bucket >> kSubBits;
  const auto sub = static_cast<int64_t>(bucket & ((1U << kSubBits) - 1));
  return Duration((sub + (1 << kSubBits) + 1)
                  << (octave + kLowBits - kSubBits));
}

void TimeCounts::Add(const TimeCounts& others) {
  for (size_t i = 0; i < kNumBuckets; ++i) counts_[i] += others.counts_[i];
  total_ += others.total_;
}

uint32_t TimeCounts::NumAbove(Duration most) const {
  uint32_t above = 0;
  for (size_t i = BucketOf(most) + 1; i < kNumBuckets; ++i) above += counts_[i];
  return above;
}

Duration TimeCounts::Quantile(double quantile, Duration most) const {
  const uint32_t among = total_ - NumAbove(most);
  const auto rank =
      std::max(1U, static_cast<uint32_t>(std::ceil(quantile * among)));
  uint32_t seen = 0;
  size_t bucket = 0;
  for (; bucket + 1 < kNumBuckets; ++bucket) {
    seen += counts_[bucket];
    if (seen >= rank) break;
  }
  return UpperBound(bucket);
}

}  // namespace parm::core
