#include "frontend/core/time_counts.h"

#include "gtest/gtest.h"

namespace parm::core {
namespace {

double Ms(Duration duration) { return ToSeconds(duration) * 1e3; }

TEST(TimeCountsTest, QuantileIsAtMostASixteenthTooHigh) {
  TimeCounts counts;
  for (int i = 1; i <= 1000; ++i) counts.Add(Milliseconds(i));
  for (const double quantile : {0.01, 0.5, 0.9, 0.999, 1.0}) {
    SCOPED_TRACE(quantile);
    EXPECT_GE(Ms(counts.Quantile(quantile)), 1000 * quantile);
    EXPECT_LE(Ms(counts.Quantile(quantile)), 1000 * quantile * 17 / 16);
  }
}

TEST(TimeCountsTest, QuantileOfTheShortOnesIgnoresTheLong) {
  TimeCounts counts;
  for (int i = 0; i < 100; ++i) counts.Add(Milliseconds(10));
  for (int i = 0; i < 300; ++i) counts.Add(Milliseconds(500));
  EXPECT_NEAR(Ms(counts.Quantile(0.99, Milliseconds(20))), 10, 1);
  EXPECT_NEAR(Ms(counts.Quantile(0.99)), 500, 32);
}

TEST(TimeCountsTest, CountsWhatIsWellAboveABound) {
  TimeCounts counts;
  EXPECT_EQ(counts.NumAbove(Milliseconds(10)), 0U);
  for (const int ms : {5, 10, 20, 40}) counts.Add(Milliseconds(ms));
  EXPECT_EQ(counts.NumAbove(Milliseconds(10)), 2U);
  EXPECT_EQ(counts.NumAbove(Duration::max()), 0U);
  EXPECT_EQ(counts.total(), 4U);
}

TEST(TimeCountsTest, OutlandishTimesStayInRange) {
  TimeCounts counts;
  counts.Add(Duration{-5});
  counts.Add(Milliseconds(10'000'000));
  EXPECT_LE(counts.Quantile(0.5), Microseconds(2));
  EXPECT_LE(counts.Quantile(1), Milliseconds(70'000));
}

TEST(RecentTimesTest, WhatIsOldIsForgotten) {
  RecentTimes times(10);
  for (int i = 0; i < 10; ++i) times.Record(Milliseconds(500));
  for (int i = 0; i < 10; ++i) times.Record(Milliseconds(10));
  EXPECT_EQ(times.Counts().total(), 20U);
  times.Record(Milliseconds(10));
  EXPECT_EQ(times.Counts().total(), 11U);
  EXPECT_NEAR(Ms(times.Counts().Quantile(1)), 10, 1);
}

}  // namespace
}  // namespace parm::core
