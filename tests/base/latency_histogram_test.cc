#include "base/latency_histogram.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace parm {
namespace {

constexpr uint32_t kSeed = 20190519;

// Values of every size from nanoseconds to an hour, equally likely per power.
std::vector<int64_t> RandomNanoseconds(std::mt19937_64& random, int count) {
  std::uniform_real_distribution<double> exponent(0, 41.7);
  std::vector<int64_t> values;
  for (int i = 0; i < count; ++i) {
    values.push_back(static_cast<int64_t>(std::exp2(exponent(random))));
  }
  return values;
}

// The smallest sample such that `quantile` of all are not above it.
int64_t ExactQuantile(const std::vector<int64_t>& sorted, double quantile) {
  const auto rank = static_cast<int64_t>(
      std::ceil(quantile * static_cast<double>(sorted.size())));
  return sorted[static_cast<size_t>(std::max<int64_t>(rank, 1) - 1)];
}

TEST(LatencyHistogramTest, QuantileIsAtMostOneSixtyFourthAboveTheSample) {
  SCOPED_TRACE(absl::StrCat("seed=", kSeed));
  std::mt19937_64 random(kSeed);
  for (int count : {1, 2, 7, 100, 10000}) {
    std::vector<int64_t> values = RandomNanoseconds(random, count);
    LatencyHistogram histogram;
    for (int64_t value : values) histogram.Record(Duration(value));
    std::sort(values.begin(), values.end());
    for (double quantile : {0.0, 0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0}) {
      const int64_t want = ExactQuantile(values, quantile);
      const int64_t got = histogram.Quantile(quantile).count();
      EXPECT_GE(got, want) << "count=" << count << " quantile=" << quantile;
      EXPECT_LE(got, want + want / 64)
          << "count=" << count << " quantile=" << quantile;
    }
  }
}

TEST(LatencyHistogramTest, EverySmallValueHasABucketOfItsOwn) {
  for (int64_t value = 0; value < 128; ++value) {
    LatencyHistogram histogram;
    histogram.Record(Duration(value));
    histogram.Record(std::chrono::hours(1));  // so that max() does not help
    EXPECT_EQ(histogram.Quantile(0.5), Duration(value));
  }
}

TEST(LatencyHistogramTest, ErrorIsBoundedAroundEveryPowerOfTwo) {
  for (int bit = 6; bit < 42; ++bit) {
    for (int64_t offset : {-1, 0, 1}) {
      const int64_t value = (int64_t{1} << bit) + offset;
      LatencyHistogram histogram;
      histogram.Record(Duration(value));
      histogram.Record(std::chrono::hours(2));
      const int64_t got = histogram.Quantile(0.5).count();
      EXPECT_GE(got, value);
      EXPECT_LE(got, value + value / 64);
    }
  }
}

TEST(LatencyHistogramTest, EmptyHistogramAnswersZero) {
  const LatencyHistogram histogram;
  EXPECT_EQ(histogram.count(), 0);
  EXPECT_EQ(histogram.Quantile(0.5), Duration(0));
  EXPECT_EQ(histogram.max(), Duration(0));
  EXPECT_EQ(histogram.CountAtOrBelow(std::chrono::hours(1)), 0);
}

TEST(LatencyHistogramTest, ValuesOutsideTheRangeAreClamped) {
  LatencyHistogram histogram;
  histogram.Record(Duration(-5));
  histogram.Record(std::chrono::hours(3));
  EXPECT_EQ(histogram.count(), 2);
  EXPECT_EQ(histogram.max(), Duration(std::chrono::hours(3)));
  EXPECT_EQ(histogram.sum(), std::chrono::hours(3) - Duration(5));
  EXPECT_EQ(histogram.Quantile(0.5), Duration(0));
  EXPECT_EQ(histogram.Quantile(1), Duration((int64_t{1} << 42) - 1));
}

TEST(LatencyHistogramTest, CountedSamplesEqualRepeatedOnes) {
  LatencyHistogram counted;
  LatencyHistogram repeated;
  counted.Record(Milliseconds(20), /*count=*/1000);
  for (int i = 0; i < 1000; ++i) repeated.Record(Milliseconds(20));
  counted.Record(Milliseconds(90));
  repeated.Record(Milliseconds(90));
  EXPECT_EQ(counted.count(), repeated.count());
  EXPECT_EQ(counted.sum(), repeated.sum());
  EXPECT_EQ(counted.Quantile(0.999), repeated.Quantile(0.999));
}

TEST(LatencyHistogramTest, MergeEqualsRecordingInOne) {
  SCOPED_TRACE(absl::StrCat("seed=", kSeed));
  std::mt19937_64 random(kSeed);
  LatencyHistogram all;
  LatencyHistogram merged;
  for (int part = 0; part < 5; ++part) {
    LatencyHistogram histogram;
    for (int64_t value : RandomNanoseconds(random, 300)) {
      histogram.Record(Duration(value));
      all.Record(Duration(value));
    }
    merged.Merge(histogram);
  }
  merged.Merge(LatencyHistogram());
  EXPECT_EQ(merged.count(), all.count());
  EXPECT_EQ(merged.max(), all.max());
  EXPECT_EQ(merged.sum(), all.sum());
  for (int i = 0; i <= 1000; ++i) {
    EXPECT_EQ(merged.Quantile(i / 1000.0), all.Quantile(i / 1000.0));
  }
}

TEST(LatencyHistogramTest, CountsAtOrBelowWithinOneBucket) {
  SCOPED_TRACE(absl::StrCat("seed=", kSeed));
  std::mt19937_64 random(kSeed);
  const std::vector<int64_t> values = RandomNanoseconds(random, 2000);
  LatencyHistogram histogram;
  for (int64_t value : values) histogram.Record(Duration(value));
  for (int64_t bound : RandomNanoseconds(random, 100)) {
    const auto at_or_below = [&values](int64_t limit) {
      return std::count_if(values.begin(), values.end(),
                           [limit](int64_t value) { return value <= limit; });
    };
    const int64_t got = histogram.CountAtOrBelow(Duration(bound));
    EXPECT_GE(got, at_or_below(bound));
    EXPECT_LE(got, at_or_below(bound + bound / 64));
  }
  EXPECT_EQ(histogram.CountAtOrBelow(std::chrono::hours(2)), 2000);
}

TEST(LatencyHistogramTest, QuantileNeverFallsAsItRises) {
  SCOPED_TRACE(absl::StrCat("seed=", kSeed));
  std::mt19937_64 random(kSeed);
  LatencyHistogram histogram;
  for (int64_t value : RandomNanoseconds(random, 500)) {
    histogram.Record(Duration(value));
  }
  Duration before{0};
  for (int i = 0; i <= 1000; ++i) {
    const Duration quantile = histogram.Quantile(i / 1000.0);
    EXPECT_GE(quantile, before);
    before = quantile;
  }
  EXPECT_EQ(before, histogram.max());
}

TEST(LatencyHistogramTest, ClearForgetsEverySample) {
  LatencyHistogram histogram;
  histogram.Record(Milliseconds(5), 10);
  histogram.Clear();
  EXPECT_EQ(histogram.count(), 0);
  EXPECT_EQ(histogram.max(), Duration(0));
  EXPECT_EQ(histogram.sum(), Duration(0));
  EXPECT_EQ(histogram.CountAtOrBelow(std::chrono::hours(1)), 0);
}

}  // namespace
}  // namespace parm
