#include "experiments/load/arrival_schedule.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

std::vector<Duration> AllOffsets(const ArrivalOptions& options) {
  auto schedule = ArrivalSchedule::Create(options);
  EXPECT_THAT(schedule, IsOk());
  std::vector<Duration> offsets;
  while (const auto offset = schedule->Next()) offsets.push_back(*offset);
  return offsets;
}

TEST(ArrivalScheduleTest, PoissonGapsPassKolmogorovSmirnov) {
  constexpr double kRate = 500;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed=", seed));
    const auto offsets = AllOffsets(
        {.rate_qps = kRate, .length = Milliseconds(40'000), .seed = seed});
    std::vector<double> gaps;
    Duration previous{0};
    for (const Duration offset : offsets) {
      gaps.push_back(ToSeconds(offset - previous));
      previous = offset;
    }
    std::sort(gaps.begin(), gaps.end());
    const auto n = static_cast<double>(gaps.size());
    double distance = 0;
    for (size_t i = 0; i < gaps.size(); ++i) {
      const double law = 1 - std::exp(-kRate * gaps[i]);
      const double below = static_cast<double>(i) / n;
      distance = std::max({distance, law - below, below + 1 / n - law});
    }
    // The critical value at significance 0.0001.
    EXPECT_LT(distance, 2.23 / std::sqrt(n));
    EXPECT_NEAR(n, 20'000, 5 * std::sqrt(20'000));
  }
}

TEST(ArrivalScheduleTest, ConstantGapsDoNotDrift) {
  const auto offsets = AllOffsets({.law = ArrivalLaw::kConstant,
                                   .rate_qps = 300,
                                   .length = Milliseconds(100'000)});
  ASSERT_EQ(offsets.size(), 30'000U);
  for (size_t i = 0; i < offsets.size(); ++i) {
    EXPECT_NEAR(ToSeconds(offsets[i]), static_cast<double>(i) / 300, 2e-9);
  }
}

TEST(ArrivalScheduleTest, SeedReplaysTheSameSchedule) {
  ArrivalOptions options{
      .rate_qps = 100, .length = Milliseconds(1'000), .seed = 7};
  const auto first = AllOffsets(options);
  EXPECT_EQ(first, AllOffsets(options));
  options.seed = 8;
  EXPECT_NE(first, AllOffsets(options));
}

TEST(ArrivalScheduleTest, RefusesRatesAndLengthsOutOfRange) {
  const ArrivalOptions good{.rate_qps = 1, .length = Milliseconds(1)};
  for (const double rate :
       {0.0, -1.0, 2e6, std::numeric_limits<double>::quiet_NaN()}) {
    ArrivalOptions options = good;
    options.rate_qps = rate;
    EXPECT_THAT(ArrivalSchedule::Create(options),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
  for (const Duration length :
       {Duration{0}, Duration{-1}, Duration{std::chrono::hours(25)}}) {
    ArrivalOptions options = good;
    options.length = length;
    EXPECT_THAT(ArrivalSchedule::Create(options),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

}  // namespace
}  // namespace parm
