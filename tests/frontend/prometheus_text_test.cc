#include "frontend/prometheus_text.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parm {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(PrometheusTextTest, WritesCountersAndGaugesWithLabels) {
  PrometheusText text;
  text.Counter("parm_a_total", "What a is.")
      .Value({{"model", "m"}, {"source", "exact"}}, uint64_t{3});
  text.Gauge("parm_b", "What b is.").Value({}, 0.5);
  EXPECT_THAT(text.Text(), HasSubstr("# HELP parm_a_total What a is.\n"
                                     "# TYPE parm_a_total counter\n"
                                     "parm_a_total{model=\"m\",source="
                                     "\"exact\"} 3\n"));
  EXPECT_THAT(text.Text(), HasSubstr("# TYPE parm_b gauge\nparm_b 0.5\n"));
}

TEST(PrometheusTextTest, WritesHistogramsCumulatively) {
  LatencyHistogram histogram;
  histogram.Record(Milliseconds(1));
  histogram.Record(Milliseconds(30));
  histogram.Record(Milliseconds(9000));
  PrometheusText text;
  text.Histogram("parm_c_seconds", "c.")
      .Values({{"model", "m"}}, histogram, {0.01, 0.1});
  EXPECT_THAT(text.Text(),
              HasSubstr("parm_c_seconds_bucket{model=\"m\",le=\"0.01\"} 1\n"));
  EXPECT_THAT(text.Text(),
              HasSubstr("parm_c_seconds_bucket{model=\"m\",le=\"0.1\"} 2\n"));
  EXPECT_THAT(text.Text(),
              HasSubstr("parm_c_seconds_bucket{model=\"m\",le=\"+Inf\"} 3\n"));
  EXPECT_THAT(text.Text(), HasSubstr("parm_c_seconds_count{model=\"m\"} 3\n"));
}

TEST(PrometheusTextTest, EscapesWhatLabelsHold) {
  PrometheusText text;
  text.Counter("parm_a_total", "a.")
      .Value({{"model", "say \"hi\"\n"}}, uint64_t{1});
  EXPECT_THAT(text.Text(), HasSubstr("{model=\"say \\\"hi\\\"\\n\"} 1\n"));
}

TEST(PrometheusTextTest, LeavesOutFamiliesWithoutValues) {
  PrometheusText text;
  text.Counter("parm_a_total", "a.");
  EXPECT_THAT(text.Text(), Not(HasSubstr("parm_a_total")));
}

}  // namespace
}  // namespace parm
