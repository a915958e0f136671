#include "frontend/serve/status_page.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "frontend/frontend_metrics.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr Time kStart{};

// What the frontend writes of one model and one worker.
class StatusPageTest : public ::testing::Test {
 protected:
  StatusPageTest() {
    core_.models.resize(1);
    WorkerStatus worker;
    worker.endpoint = "tcp://w:1";
    workers_.push_back(worker);
  }

  void Answer(core::AnswerSource source, Duration latency, int count) {
    const auto i = static_cast<size_t>(source);
    core_.models[0].answers[i] += static_cast<uint64_t>(count);
    for (int n = 0; n < count; ++n) core_.models[0].latency[i].Record(latency);
  }

  std::string PageAt(Duration since_start) {
    const std::string text =
        RenderMetrics({.models = models_,
                       .core = core_,
                       .sizes = sizes_,
                       .upstream = upstream_,
                       .catalog = catalog_,
                       .performer = performer_,
                       .loop = loop_,
                       .workers = workers_,
                       .now = kStart + since_start,
                       .heartbeat_timeout = Milliseconds(1000),
                       .queries_waiting = 7,
                       .ready = ready_});
    return page_.Render(text, kStart + since_start);
  }

  std::vector<std::string> models_ = {"m"};
  core::CoreCounters core_;
  core::CoreSizes sizes_;
  UpstreamCounters upstream_;
  CatalogCounters catalog_;
  PerformerCounters performer_;
  LoopCounters loop_;
  std::vector<WorkerStatus> workers_;
  bool ready_ = true;
  StatusPage page_;
};

TEST_F(StatusPageTest, ShowsWhatTheMetricsSay) {
  Answer(core::AnswerSource::kExact, Milliseconds(15), 900);
  Answer(core::AnswerSource::kReconstructed, Milliseconds(40), 100);
  core_.models[0].late_originals = 123;
  core_.models[0].groups_closed_full = 456;
  core_.models[0].groups_closed_short = 78;
  core_.models[0].agreement = 0.875;
  const std::string page = PageAt(Milliseconds(0));
  EXPECT_THAT(page, HasSubstr("since the start"));
  EXPECT_THAT(page, HasSubstr("<span class=\"up\">yes</span>"));
  EXPECT_THAT(page, HasSubstr("7 queries in flight"));
  // Rate, quantiles within their buckets, then answers by source.
  EXPECT_THAT(page, HasSubstr("<tr><td>m</td><td>-</td><td>15.6</td>"
                              "<td>48.0</td><td>49.8</td><td>900</td><td>0</td>"
                              "<td>100</td><td>0</td><td>0</td><td>0</td>"
                              "<td>123</td><td>456</td><td>78</td><td>0</td>"
                              "<td>87.5 %</td></tr>"));
  EXPECT_THAT(page, HasSubstr("<tr><td>tcp://w:1</td><td class=\"down\">"));
  EXPECT_THAT(page, HasSubstr("<polyline"));
}

TEST_F(StatusPageTest, ShowsTheLastMinuteOnceThereIsOne) {
  Answer(core::AnswerSource::kExact, Milliseconds(400), 50);
  PageAt(Milliseconds(0));
  Answer(core::AnswerSource::kExact, Milliseconds(15), 20);
  const std::string page = PageAt(Milliseconds(10'000));
  EXPECT_THAT(page, HasSubstr("the last 10 s"));
  EXPECT_THAT(page, HasSubstr("<tr><td>m</td><td>2.0</td><td>15.0</td>"));
  // Earlier pages count for a minute only.
  const std::string later = PageAt(Milliseconds(70'000));
  EXPECT_THAT(later, HasSubstr("the last 60 s"));
  EXPECT_THAT(later, HasSubstr("<tr><td>m</td><td>0.0</td><td>-</td>"));
  EXPECT_THAT(PageAt(Milliseconds(200'000)), HasSubstr("since the start"));
}

TEST_F(StatusPageTest, ShowsAnEmptyFrontendToo) {
  ready_ = false;
  const std::string page = PageAt(Milliseconds(0));
  EXPECT_THAT(page, HasSubstr("<span class=\"no\">no</span>"));
  EXPECT_THAT(page, Not(HasSubstr("<polyline")));
  EXPECT_THAT(StatusPage().Render("", kStart), HasSubstr("</html>"));
}

TEST_F(StatusPageTest, EscapesNamesThatOthersChose) {
  models_ = {"<script>\"&\n"};
  Answer(core::AnswerSource::kExact, Milliseconds(15), 1);
  const std::string page = PageAt(Milliseconds(0));
  EXPECT_THAT(page, HasSubstr("&lt;script&gt;&quot;&amp;"));
  EXPECT_THAT(page, Not(HasSubstr("<script>")));
}

TEST(MetricSamplesTest, ReadsNamesLabelsAndValues) {
  const MetricSamples samples(
      "# HELP a text {b=\"c\"} 9\n"
      "a{x=\"1,2\",y=\"q\\\"\\\\\"} 2\n"
      "a{x=\"1,2\",y=\"r\"} 3.5\n"
      "plain 4\n"
      "a{x=\"broken} 100\n"
      "not a number x\n");
  EXPECT_EQ(samples.Sum("a", {{"x", "1,2"}}), 5.5);
  EXPECT_EQ(samples.Sum("a", {{"y", "r"}}), 3.5);
  EXPECT_EQ(samples.Sum("plain"), 4);
  EXPECT_EQ(samples.Sum("absent"), 0);
  EXPECT_THAT(samples.ValuesOf("a", "y"), ElementsAre("q\"\\", "r"));
}

}  // namespace
}  // namespace parm
