#pragma once

// A mergeable histogram of durations with bounded relative error: fixed
// log-linear buckets, as HDR histograms have. Record is a few instructions and
// never allocates after construction, so the hot path can use it.

#include <cstdint>
#include <vector>

#include "base/time.h"

namespace parm {

/// Range:  1 ns to about 73 minutes; outside is clamped (max() stays exact).
/// Error:  a quantile is at most 1/64 above the true sample.
/// Threads: none of its own; guard or own by one thread.
class LatencyHistogram {
 public:
  LatencyHistogram() : counts_(kNumBuckets) {}

  void Record(Duration value, int64_t count = 1);
  void Merge(const LatencyHistogram& other);
  void Clear();

  int64_t count() const { return count_; }
  Duration max() const { return max_; }
  Duration sum() const { return sum_; }

  /// Smallest recorded bucket bound such that at least `quantile` (0..1) of the
  /// samples are not above it; zero if there are none.
  Duration Quantile(double quantile) const;

  /// Samples whose bucket lies at or below `bound`.
  int64_t CountAtOrBelow(Duration bound) const;

 private:
  static constexpr int kSubBits = 6;  // 64 linear steps per power of two.
  static constexpr int kMaxBits = 42;
  static constexpr int kNumBuckets = ((kMaxBits - kSubBits + 1) << kSubBits);
  static int BucketIndex(int64_t nanoseconds);
  static int64_t BucketUpperBound(int index);

  std::vector<int64_t> counts_;
  int64_t count_ = 0;
  Duration max_{0};
  Duration sum_{0};
};

}  // namespace parm
