#include "experiments/advise/advice.h"

#include <map>
#include <string>

#include "experiments/advise/tail_picture.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/matchers.h"

namespace parm::advise {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// 20 ms, and one in a hundred ten times as long.
RecordedLatencies OneInAHundredSlow() {
  RecordedLatencies latencies;
  latencies.seconds.assign(990, 0.020);
  latencies.seconds.insert(latencies.seconds.end(), 10, 0.200);
  latencies.num_records = latencies.seconds.size();
  return latencies;
}

AdviceOptions Small() { return {.load = 0.3, .servers = 12, .queries = 4000}; }

std::map<std::string, sim::LoadRun> ByPolicy(
    const std::vector<sim::LoadRun>& runs) {
  std::map<std::string, sim::LoadRun> by_policy;
  for (const sim::LoadRun& run : runs) by_policy.emplace(run.entry.policy, run);
  return by_policy;
}

TEST(AdviceTest, ShowsWhatEachPolicyMakesOfATail) {
  const auto runs = Advise(OneInAHundredSlow(), Small());
  ASSERT_THAT(runs, IsOk());
  const auto by_policy = ByPolicy(*runs);
  ASSERT_EQ(by_policy.size(), 5);
  const auto p99_9 = [&](const std::string& policy) {
    return *by_policy.at(policy).entry.latency_ms.p99_9;
  };
  EXPECT_GT(p99_9("none"), 190);
  for (const char* const policy : {"replicate", "hedge", "coded", "hybrid"}) {
    EXPECT_LT(p99_9(policy), 0.5 * p99_9("none")) << policy;
  }
  // The clean latency is the records' own, nothing is added.
  EXPECT_NEAR(*by_policy.at("none").entry.latency_ms.p50, 20, 0.5);
  EXPECT_NEAR(*by_policy.at("none").entry.load, 0.3, 1e-9);
  EXPECT_THAT(Verdict(*runs), HasSubstr("Lowest p99.9: "));
}

TEST(AdviceTest, FindsNothingToWinWithoutATail) {
  RecordedLatencies even;
  even.seconds.assign(1000, 0.020);
  even.num_records = 1000;
  AdviceOptions options = Small();
  options.load = 0.05;
  options.servers = 6;
  const auto runs = Advise(even, options);
  ASSERT_THAT(runs, IsOk());
  EXPECT_THAT(Verdict(*runs), HasSubstr("Nothing is 5 % better"));
}

TEST(AdviceTest, LeavesOutCodesThatNeedMoreServers) {
  AdviceOptions options = Small();
  options.servers = 2;
  options.queries = 1000;
  const auto runs = Advise(OneInAHundredSlow(), options);
  ASSERT_THAT(runs, IsOk());
  const auto by_policy = ByPolicy(*runs);
  EXPECT_EQ(by_policy.count("hedge"), 1);
  EXPECT_EQ(by_policy.count("coded"), 0);
  EXPECT_EQ(by_policy.count("hybrid"), 0);
}

TEST(AdviceTest, TakesLatenciesOfAnySize) {
  AdviceOptions options = Small();
  options.queries = 1000;
  for (const double scale : {0.05, 20.0}) {
    RecordedLatencies latencies = OneInAHundredSlow();
    for (double& each : latencies.seconds) each *= scale;
    const auto runs = Advise(latencies, options);
    ASSERT_THAT(runs, IsOk()) << scale;
    for (const sim::LoadRun& run : *runs) {
      EXPECT_EQ(run.entry.answers.error, 0) << scale << run.entry.policy;
    }
  }
}

TEST(AdviceTest, RefusesADeadlineBelowTheMean) {
  AdviceOptions options = Small();
  options.deadline = Milliseconds(10);
  EXPECT_THAT(Advise(OneInAHundredSlow(), options),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("deadline is not above the mean")));
}

TEST(AdviceTest, PassesOnWhatIsWrongWithAPolicy) {
  AdviceOptions options = Small();
  options.policy_files = {"/nowhere/frontend.yaml"};
  EXPECT_THAT(Advise(OneInAHundredSlow(), options),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/nowhere")));
}

TEST(AdviceTest, DrawsACurveForEachPolicy) {
  const TailCurve curve = {
      .label = "a < b", .colour = "red", .points = {{20, 1}, {200, 0.01}}};
  const std::string svg =
      TailPictureSvg({{.title = "load 0.3", .curves = {curve, curve}},
                      {.title = "load 0.5", .curves = {curve}}});
  size_t num_curves = 0;
  for (size_t at = svg.find("<polyline"); at != std::string::npos;
       at = svg.find("<polyline", at + 1)) {
    ++num_curves;
  }
  EXPECT_EQ(num_curves, 3);
  EXPECT_THAT(svg, HasSubstr("a &lt; b"));
  EXPECT_THAT(svg, HasSubstr("load 0.5"));
  EXPECT_THAT(TailPictureSvg({{.title = "empty"}}), Not(HasSubstr("nan")));
}

}  // namespace
}  // namespace parm::advise
