#include "experiments/run_record.h"

#include <string>

#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

RunRecord OneRun() {
  RunEntry run{.policy = "coded",
               .code = CodeLabel{.scheme = "sum", .k = 2, .r = 1},
               .scenario = "slow-jobs",
               .load = 0.25,
               .workers = 9,
               .offered_qps = 112.5,
               .achieved_qps = 112.25,
               .queries = 100,
               .answers = {.exact = 90, .reconstructed = 9, .error = 1},
               .shed = 0,
               .latency_ms = {.p50 = 20.5,
                              .p90 = 21.0,
                              .p99 = 40.0,
                              .p99_9 = 50.0,
                              .p99_9_low = 39.0,
                              .p99_9_high = 60.0,
                              .max = 60.0},
               .tail_mass = {.over_3_service = 0.25},
               .accuracy = {.delivered = 0.875}};
  return {.name = "demo",
          .commit = "abc",
          .machine = "two cores",
          .seed = ~uint64_t{0},
          .started = "2026-01-31T12:00:00Z",
          .config_json = R"({"rate":112.5})",
          .runs = {run}};
}

std::string Edited(absl::string_view from, absl::string_view to) {
  const std::string json = ToJson(OneRun());
  EXPECT_THAT(json, HasSubstr(std::string(from)));
  return absl::StrReplaceAll(json, {{from, to}});
}

TEST(RunRecordTest, WrittenDocumentPassesItsOwnCheck) {
  EXPECT_THAT(CheckRunRecord(ToJson(OneRun())), IsOk());
}

TEST(RunRecordTest, UnmeasuredFiguresAreNullNotZero) {
  const std::string json = ToJson(OneRun());
  EXPECT_THAT(json, HasSubstr(R"("late_share":null)"));
  EXPECT_THAT(json, HasSubstr(R"("cpu_us_per_query":null)"));
  EXPECT_THAT(json, HasSubstr(R"("deployed":null)"));
  EXPECT_THAT(json, HasSubstr(R"("refused":null)"));
  EXPECT_THAT(json, HasSubstr(R"("shed":0)"));
}

TEST(RunRecordTest, RefusesAnswersThatDoNotAddUp) {
  EXPECT_THAT(CheckRunRecord(Edited(R"("lost":0)", R"("lost":1)")),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("runs[0].answers sum to 101")));
}

TEST(RunRecordTest, RefusesMissingAndUnknownKeys) {
  EXPECT_THAT(CheckRunRecord(Edited(R"("shed":0,)", "")),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("key is missing: runs[0].shed")));
  EXPECT_THAT(CheckRunRecord(Edited(R"("shed":0)", R"("shed":0,"shade":0)")),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("key is unknown: runs[0].shade")));
}

TEST(RunRecordTest, TakesRecordsOfEarlierPrograms) {
  std::string json = Edited(R"("wasted_service_per_query":null,)", "");
  const size_t begin = json.find(R"("tail_mass")");
  json.erase(begin, json.find("},", begin) + 2 - begin);
  EXPECT_THAT(json, Not(HasSubstr("over_2_service")));
  EXPECT_THAT(CheckRunRecord(json), IsOk());
}

TEST(RunRecordTest, RefusesWrongTypesAndRanges) {
  for (const auto& [from, to, field] :
       {std::tuple{R"("repeat":0)", R"("repeat":-1)", "repeat"},
        std::tuple{R"("repeat":0)", R"("repeat":0.5)", "repeat"},
        std::tuple{R"("delivered":0.875)", R"("delivered":87.5)", "delivered"},
        std::tuple{R"("policy":"coded")", R"("policy":null)", "policy"},
        std::tuple{R"("exact":90)", R"("exact":null)", "exact"},
        std::tuple{R"("over_3_service":0.25)", R"("over_3_service":2)",
                   "tail_mass.over_3_service"},
        std::tuple{R"("workers":9)", R"("workers":"9")", "workers"},
        std::tuple{R"("k":2)", R"("k":"two")", "code.k"}}) {
    SCOPED_TRACE(to);
    EXPECT_THAT(CheckRunRecord(Edited(from, to)),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(field)));
  }
}

TEST(RunRecordTest, RefusesQuantilesOutOfOrder) {
  EXPECT_THAT(CheckRunRecord(Edited(R"("p99":40)", R"("p99":51)")),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("runs[0].latency_ms.p99_9 is 50")));
  EXPECT_THAT(
      CheckRunRecord(Edited(R"("p99_9_low":39)", R"("p99_9_low":55)")),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("out of order")));
}

TEST(RunRecordTest, RefusesWhatIsNotJson) {
  EXPECT_THAT(CheckRunRecord("{"),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(CheckRunRecord("[]"),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(RunRecordTest, MissingFileIsNotFound) {
  EXPECT_THAT(CheckRunRecordFile("/nonexistent/record.json"),
              StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace parm
