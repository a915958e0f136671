#include "frontend/capture_sampler.h"

#include <vector>

#include "gtest/gtest.h"

namespace parm {
namespace {

std::vector<bool> Draws(const CaptureOptions& options, int count) {
  CaptureSampler sampler(options);
  std::vector<bool> draws;
  for (int i = 0; i < count; ++i) draws.push_back(sampler.Draw());
  return draws;
}

TEST(CaptureSamplerTest, SameSeedDrawsTheSameQueries) {
  const std::vector<bool> draws = Draws({.sample = 0.3, .seed = 7}, 1000);
  EXPECT_EQ(Draws({.sample = 0.3, .seed = 7}, 1000), draws);
  EXPECT_NE(Draws({.sample = 0.3, .seed = 8}, 1000), draws);
}

TEST(CaptureSamplerTest, DrawsAboutTheShareAsked) {
  for (const double share : {0.01, 0.3, 0.9}) {
    int drawn = 0;
    for (const bool one : Draws({.sample = share}, 100'000)) drawn += one;
    EXPECT_NEAR(drawn / 100'000.0, share, 0.01) << share;
  }
}

TEST(CaptureSamplerTest, DrawsEveryQueryOfAWholeShare) {
  for (const bool one : Draws({.sample = 1}, 1000)) EXPECT_TRUE(one);
}

TEST(CaptureSamplerTest, AllowsOneSecondsWorthAtOnce) {
  CaptureSampler sampler({.max_per_second = 5});
  const Time start = Time{} + Milliseconds(1'000'000);
  const auto allowed_at = [&](Time now) {
    int allowed = 0;
    while (sampler.Allow(now)) ++allowed;
    return allowed;
  };
  EXPECT_EQ(allowed_at(start), 5);
  EXPECT_EQ(allowed_at(start + Milliseconds(190)), 0);
  EXPECT_EQ(allowed_at(start + Milliseconds(601)), 3);
  EXPECT_EQ(allowed_at(start + Milliseconds(60'000)), 5);
}

TEST(CaptureSamplerTest, AllowsLessThanOneASecond) {
  CaptureSampler sampler({.max_per_second = 0.5});
  const Time start = Time{} + Milliseconds(1'000'000);
  EXPECT_TRUE(sampler.Allow(start));
  EXPECT_FALSE(sampler.Allow(start + Milliseconds(1900)));
  EXPECT_TRUE(sampler.Allow(start + Milliseconds(2100)));
}

}  // namespace
}  // namespace parm
