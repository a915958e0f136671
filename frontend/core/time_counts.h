#pragma once

// How often times of about a length occurred: sixteen buckets per power of two
// from 1 us to 68 s, so that a quantile is at most 1/16 too high. What a late
// answer is, and how many stragglers there are, is told from two of these.

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/time.h"

namespace parm::core {

/// Threads: owned by one.
class TimeCounts {
 public:
  void Add(Duration value) {
    ++counts_[BucketOf(value)];
    ++total_;
  }
  void Add(const TimeCounts& others);

  uint32_t total() const { return total_; }

  /// Of those at most `most`, or a bucket more: the upper bound of the
  /// quantile's bucket.
  /// Needs: there are some.
  Duration Quantile(double quantile, Duration most = Duration::max()) const;

  /// How many are above `most` by a bucket or more.
  uint32_t NumAbove(Duration most) const;

 private:
  static constexpr int kSubBits = 4;
  static constexpr int kLowBits = 10;
  static constexpr int kHighBits = 36;
  static constexpr size_t kNumBuckets = ((kHighBits - kLowBits) << kSubBits);

  static size_t BucketOf(Duration value);
  static Duration UpperBound(size_t bucket);

  std::array<uint32_t, kNumBuckets> counts_{};
  uint32_t total_ = 0;
};

/// The last `window` to twice as many times: the older half is dropped when the
/// newer one is full.
class RecentTimes {
 public:
  explicit RecentTimes(uint32_t window) : window_(window) {}

  void Record(Duration value) {
    if (newer_.total() == window_) {
      older_ = newer_;
      newer_ = {};
    }
    newer_.Add(value);
  }

  TimeCounts Counts() const {
    TimeCounts counts = newer_;
    counts.Add(older_);
    return counts;
  }

 private:
  uint32_t window_;
  TimeCounts newer_;
  TimeCounts older_;
};

}  // namespace parm::core
