#include "experiments/advise/recorded_latencies.h"

#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/matchers.h"
#include "tests/support/scratch_directory.h"

namespace parm::advise {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string Column(int count) {
  std::string text;
  for (int i = count; i > 0; --i) absl::StrAppend(&text, i, "\n");
  return text;
}

// Of 100 requests 50 took up to 10 ms, 40 up to 20 ms, 10 longer.
std::string Histogram(const std::string& name, const std::string& labels = "") {
  const std::string head = absl::StrCat(name, "_bucket{", labels, "le=\"");
  return absl::StrCat(head, "0.01\"} 50\n", head, "0.02\"} 90\n", head,
                      "+Inf\"} 100\n", name, "_count 100\n");
}

void ExpectRefused(const std::string& text, const std::string& line,
                   const std::string& why, const ReadOptions& options = {}) {
  EXPECT_THAT(ParseRecordedLatencies(text, "f", options),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(StartsWith("f:" + line + ": "), HasSubstr(why))));
}

TEST(RecordedLatenciesTest, TakesAColumnAsItIs) {
  const auto latencies =
      ParseRecordedLatencies("latency ms\n# a note\n\n" + Column(100), "f", {});
  ASSERT_THAT(latencies, IsOk());
  EXPECT_EQ(latencies->num_records, 100);
  EXPECT_DOUBLE_EQ(latencies->Mean(), 0.0505);
  EXPECT_DOUBLE_EQ(latencies->Quantile(0), 0.001);
  EXPECT_DOUBLE_EQ(latencies->Quantile(0.5), 0.050);
  EXPECT_DOUBLE_EQ(latencies->Quantile(1), 0.100);
  EXPECT_EQ(latencies->share_above_bounds, 0);
}

TEST(RecordedLatenciesTest, ReadsTheUnitThatIsStated) {
  const auto seconds =
      ParseRecordedLatencies(Column(30), "f", {.unit = Unit::kSeconds});
  ASSERT_THAT(seconds, IsOk());
  EXPECT_DOUBLE_EQ(seconds->Quantile(1), 30);
  const auto micros =
      ParseRecordedLatencies(Column(30), "f", {.unit = Unit::kMicroseconds});
  ASSERT_THAT(micros, IsOk());
  EXPECT_DOUBLE_EQ(micros->Quantile(1), 30e-6);
}

TEST(RecordedLatenciesTest, SpreadsAHistogramWithinItsBuckets) {
  const auto latencies = ParseRecordedLatencies(
      "# TYPE rt_seconds histogram\nup 1\n" + Histogram("rt_seconds") +
          "rt_seconds_sum 1.5\n",
      "f", {});
  ASSERT_THAT(latencies, IsOk());
  EXPECT_EQ(latencies->metric, "rt_seconds");
  EXPECT_EQ(latencies->num_records, 100);
  EXPECT_NEAR(latencies->Quantile(0.25), 0.005, 1e-6);
  EXPECT_NEAR(latencies->Quantile(0.5), 0.010, 1e-6);
  EXPECT_NEAR(latencies->Quantile(0.7), 0.015, 1e-6);
  // Nothing is known above the last bound.
  EXPECT_DOUBLE_EQ(latencies->Quantile(0.95), 0.020);
  EXPECT_DOUBLE_EQ(latencies->share_above_bounds, 0.1);
}

TEST(RecordedLatenciesTest, AddsUpTheSeriesOfAHistogram) {
  const auto latencies = ParseRecordedLatencies(
      Histogram("rt", "pod=\"a, \\\"}\",") + Histogram("rt", "pod=\"b\", "),
      "f", {});
  ASSERT_THAT(latencies, IsOk());
  EXPECT_EQ(latencies->num_records, 200);
  EXPECT_NEAR(latencies->Quantile(0.5), 0.010, 1e-6);
}

TEST(RecordedLatenciesTest, KnowsTheUnitByTheMetricsName) {
  const std::string text =
      Histogram("a_seconds") + Histogram("b_ms") + Histogram("c_microseconds");
  const auto longest = [&text](const std::string& metric) {
    return ParseRecordedLatencies(text, "f", {.metric = metric})->Quantile(1);
  };
  EXPECT_DOUBLE_EQ(longest("a_seconds"), 0.02);
  EXPECT_DOUBLE_EQ(longest("b_ms"), 0.02e-3);
  EXPECT_DOUBLE_EQ(longest("c_microseconds"), 0.02e-6);
}

TEST(RecordedLatenciesTest, AsksWhichOfSeveralHistograms) {
  const std::string text = Histogram("a") + Histogram("b");
  ExpectRefused(text, "8", "--metric with one of a, b");
  ExpectRefused(text, "8", "--metric with one of a, b", {.metric = "c"});
}

TEST(RecordedLatenciesTest, NamesTheLineOfABadColumn) {
  ExpectRefused("ms\n1\nfast\n", "3", "got \"fast\"");
  ExpectRefused("1\n0\n", "2", "want one number above 0");
  ExpectRefused("1\n-3\n", "2", "want one number above 0");
  ExpectRefused("1\nnan\n", "2", "want one number above 0");
  ExpectRefused("1\n2,3\n", "2", "want one number");
  ExpectRefused("1\n3600001\n", "2", "at most an hour");
  ExpectRefused(Column(19), "19", "too few latencies: got 19");
  ExpectRefused("", "1", "too few latencies: got 0");
  ExpectRefused(Column(30), "30", "no dump of Prometheus", {.metric = "a"});
  ExpectRefused(std::string(2'000'001, '\n') + "1", "2000001",
                "more than 2000000 lines");
}

TEST(RecordedLatenciesTest, NamesTheLineOfABadHistogram) {
  ExpectRefused("up 1\n", "1", "no histogram");
  ExpectRefused("a_bucket{pod=\"x\"} 3\n", "1", "without label le");
  ExpectRefused("a_bucket{le=\"x\"} 3\n", "1", "got \"x\"");
  ExpectRefused("a_bucket{le=\"1\"} x\n", "1", "got \"x\"");
  ExpectRefused("a_bucket{le=\"1\"}\n", "1", "want a count");
  ExpectRefused("a_bucket{le=\"1} 3\n", "1", "malformed labels");
  ExpectRefused("a_bucket{le=\"2\"} 3\na_bucket{le=\"1\"} 4\n", "2",
                "bounds must grow");
  ExpectRefused("a_bucket{le=\"1\"} 3\na_bucket{le=\"2\"} 2\n", "2",
                "never fall");
  ExpectRefused("a_bucket{le=\"1\"} 30\n", "1", "must be le=\"+Inf\"");
  ExpectRefused("a_bucket{le=\"1\"} 0\na_bucket{le=\"+Inf\"} 30\n", "1",
                "nothing was counted below");
  ExpectRefused(Histogram("a", "pod=\"1\",") +
                    "a_bucket{pod=\"2\",le=\"1\"} 5\n"
                    "a_bucket{pod=\"2\",le=\"+Inf\"} 5\n",
                "5", "different bounds");
  ExpectRefused("a_bucket{le=\"1\"} 3\na_bucket{le=\"+Inf\"} 3\n", "2",
                "too few latencies: got 3");
  ExpectRefused("a_bucket{le=\"9999\"} 30\na_bucket{le=\"+Inf\"} 30\n", "2",
                "at most an hour");
}

TEST(RecordedLatenciesTest, SaysThatAFileIsMissing) {
  EXPECT_THAT(ReadRecordedLatencies("/nowhere/l.txt", {}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/nowhere")));
  const ScratchDirectory scratch;
  EXPECT_THAT(ReadRecordedLatencies(scratch / ".", {}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("cannot read")));
}

TEST(RecordedLatenciesTest, RefusesAFileThatIsTooLarge) {
  const ScratchDirectory scratch;
  const std::string path = scratch / "large.txt";
  std::ofstream(path) << "1\n";
  std::filesystem::resize_file(path, (uint64_t{256} << 20) + 1);  // sparse
  EXPECT_THAT(ReadRecordedLatencies(path, {}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("file is too large")));
}

}  // namespace
}  // namespace parm::advise
