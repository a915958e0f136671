#include "base/latency_histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace parm {

// Values below 64 have a bucket each; above, the top six bits after the
// leading one choose among 64 buckets of their power of two.
int LatencyHistogram::BucketIndex(int64_t nanoseconds) {
  const auto value = static_cast<uint64_t>(
      std::clamp<int64_t>(nanoseconds, 0, (int64_t{1} << kMaxBits) - 1));
  const auto bits = static_cast<int>(std::bit_width(value));
  if (bits <= kSubBits) return static_cast<int>(value);
  const int shift = bits - kSubBits - 1;
  const auto sub = static_cast<int>(value >> shift) - (1 << kSubBits);
  return ((shift + 1) << kSubBits) + sub;
}

int64_t LatencyHistogram::BucketUpperBound(int index) {
  const int group = index >> kSubBits;
  const int64_t sub = index & ((1 << kSubBits) - 1);
  if (group == 0) return sub;
  return ((sub + (1 << kSubBits) + 1) << (group - 1)) - 1;
}

void LatencyHistogram::Record(Duration value, int64_t count) {
  counts_[static_cast<size_t>(BucketIndex(value.count()))] += count;
  count_ += count;
  sum_ += value * count;
  max_ = std::max(max_, value);
}

void LatencyHistogram::Merge(const LatencyHistogram& other) {
  for (size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
  count_ += other.count_;
  sum_ += other.sum_;
  max_ = std::max(max_, other.max_);
}

void LatencyHistogram::Clear() {
  std::fill(counts_.begin(), counts_.end(), 0);
  count_ = 0;
  max_ = sum_ = Duration{0};
}

Duration LatencyHistogram::Quantile(double quantile) const {
  if (count_ == 0) return Duration{0};
  const auto rank = std::max<int64_t>(
      1,
      static_cast<int64_t>(std::ceil(quantile * static_cast<double>(count_))));
  int64_t seen = 0;
  for (int i = 0; i < kNumBuckets; ++i) {
    seen += counts_[static_cast<size_t>(i)];
    if (seen >= rank) return std::min(max_, Duration(BucketUpperBound(i)));
  }
  return max_;
}

int64_t LatencyHistogram::CountAtOrBelow(Duration bound) const {
  const int last = BucketIndex(bound.count());
  int64_t seen = 0;
  for (int i = 0; i <= last; ++i) seen += counts_[static_cast<size_t>(i)];
  return seen;
}

}  // namespace parm
