#include "experiments/load/arrival_schedule.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "experiments/load/kolmogorov_smirnov.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/matchers.h"
#include "tests/support/scratch_directory.h"

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

TEST(ArrivalScheduleTest, FollowsTheStepsOfTheRate) {
  ArrivalOptions options{
      .rate_qps = 100,
      .steps = {{Milliseconds(10'000), 1000}, {Milliseconds(20'000), 100}},
      .length = Milliseconds(30'000),
      .seed = 3};
  for (const ArrivalLaw law : {ArrivalLaw::kPoisson, ArrivalLaw::kConstant}) {
    options.law = law;
    const auto offsets = AllOffsets(options);
    const auto before = [&offsets](int ms) {
      return static_cast<double>(
          std::lower_bound(offsets.begin(), offsets.end(), Milliseconds(ms)) -
          offsets.begin());
    };
    const double spread = law == ArrivalLaw::kPoisson ? 5 : 0.1;
    EXPECT_NEAR(before(10'000), 1000, spread * std::sqrt(1000));
    EXPECT_NEAR(before(20'000) - before(10'000), 10'000, spread * 100);
    EXPECT_NEAR(before(30'000), 12'000, spread * std::sqrt(12'000));
  }
  const auto schedule = ArrivalSchedule::Create(options);
  ASSERT_THAT(schedule, IsOk());
  EXPECT_DOUBLE_EQ(schedule->Expected(Milliseconds(5'000)), 500);
  EXPECT_DOUBLE_EQ(schedule->Expected(Milliseconds(15'000)), 6000);
  EXPECT_DOUBLE_EQ(schedule->Expected(Milliseconds(30'000)), 12'000);
}

TEST(ArrivalScheduleTest, BurstsComeOnceAPeriod) {
  const auto steps = BurstSteps(10, 100, Milliseconds(1000), Milliseconds(4000),
                                Milliseconds(8000));
  ASSERT_THAT(steps, IsOk());
  ASSERT_EQ(steps->size(), 4);
  EXPECT_EQ((*steps)[0].at, Milliseconds(3000));
  EXPECT_EQ((*steps)[0].rate_qps, 100);
  EXPECT_EQ((*steps)[1].at, Milliseconds(4000));
  EXPECT_EQ((*steps)[1].rate_qps, 10);
  EXPECT_EQ((*steps)[2].at, Milliseconds(7000));
  for (const auto& [burst, every] :
       {std::pair{0, 4}, std::pair{4, 4}, std::pair{5, 4}}) {
    EXPECT_THAT(BurstSteps(10, 100, Milliseconds(burst), Milliseconds(every),
                           Milliseconds(8000)),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
  EXPECT_THAT(BurstSteps(10, 100, Duration{1}, Duration{2}, Milliseconds(8000)),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(ArrivalScheduleTest, ReplaysRecordedArrivals) {
  const ScratchDirectory scratch;
  const std::string path = scratch / "arrivals.txt";
  std::ofstream(path) << "# seconds\n0\n0.25\n\n0.25\n1.5\n";
  const auto recorded = ReadArrivals(path);
  ASSERT_THAT(recorded, IsOk());
  ArrivalOptions options{.law = ArrivalLaw::kRecorded,
                         .length = Milliseconds(1000),
                         .recorded = *recorded};
  EXPECT_EQ(AllOffsets(options),
            (std::vector{Duration{0}, Duration{Milliseconds(250)},
                         Duration{Milliseconds(250)}}));
  options.length = Milliseconds(1501);
  EXPECT_THAT(ArrivalSchedule::Create(options),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       ::testing::HasSubstr("end too early")));
}

TEST(ArrivalScheduleTest, NamesTheLineOfABadTrace) {
  const ScratchDirectory scratch;
  const std::string path = scratch / "arrivals.txt";
  for (const auto& [text, want] :
       std::vector<std::pair<const char*, const char*>>{
           {"0\nsoon\n", ":2: arrival: got \"soon\""},
           {"0\n-1\n", ":2: arrival"},
           {"2\n1\n", ":2: arrivals must ascend"},
           {"# nothing\n", ":1: no arrival"}}) {
    std::ofstream(path) << text;
    EXPECT_THAT(ReadArrivals(path), StatusIs(absl::StatusCode::kInvalidArgument,
                                             ::testing::HasSubstr(want)));
  }
  EXPECT_THAT(ReadArrivals(scratch / "none.txt"),
              StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(ReadArrivals(scratch / "."),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST(ArrivalScheduleTest, RefusesStepsOutOfOrder) {
  ArrivalOptions options{.rate_qps = 1,
                         .steps = {{Milliseconds(2), 1}, {Milliseconds(2), 1}},
                         .length = Milliseconds(9)};
  EXPECT_THAT(ArrivalSchedule::Create(options),
              StatusIs(absl::StatusCode::kInvalidArgument));
  options.steps = {{Milliseconds(2), 0}};
  EXPECT_THAT(ArrivalSchedule::Create(options),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(ArrivalScheduleTest, TellsAUniformSampleFromAnother) {
  SeededRandom random(5);
  std::vector<double> uniform;
  std::vector<double> skewed;
  for (int i = 0; i < 2000; ++i) {
    uniform.push_back(random.NextUnit());
    skewed.push_back(std::pow(random.NextUnit(), 1.2));
  }
  EXPECT_GT(TestUniform(uniform).probability, 0.01);
  EXPECT_LT(TestUniform(skewed).probability, 1e-4);
  // 1.36 / sqrt(n) is the critical distance at 5 %.
  std::vector<double> shifted;
  for (int i = 0; i < 10'000; ++i) shifted.push_back((i + 0.5 + 135) / 10'000);
  const KsResult result = TestUniform(shifted);
  EXPECT_NEAR(result.distance, 0.01355, 1e-9);
  EXPECT_NEAR(result.probability, 0.05, 0.003);
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
