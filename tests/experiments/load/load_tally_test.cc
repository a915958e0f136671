#include "experiments/load/load_tally.h"

#include <set>
#include <sstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::DoubleNear;
using ::testing::HasSubstr;
using ::testing::Optional;

constexpr Duration kDeadline = Milliseconds(500);

FinishedQuery Answer(Outcome outcome, bool right) {
  return {.outcome = outcome,
          .latency = Milliseconds(20),
          .latency_from_send = Milliseconds(19),
          .right = right};
}

TEST(LoadTallyTest, EveryOutcomeIsCountedOnce) {
  LoadTally tally(kDeadline);
  for (size_t i = 0; i < kNumOutcomes; ++i) {
    tally.RecordSend(Microseconds(10));
    tally.Record(Answer(static_cast<Outcome>(i), false));
  }
  RunEntry entry;
  tally.FillEntry(&entry);
  EXPECT_EQ(entry.queries, 8);
  RunRecord record{.name = "t", .config_json = "{}", .runs = {entry}};
  EXPECT_THAT(CheckRunRecord(ToJson(record)), IsOk());
  EXPECT_EQ(entry.answers.exact, 1);
  EXPECT_EQ(entry.answers.default_answer, 1);
  EXPECT_EQ(entry.answers.lost, 1);
}

TEST(LoadTallyTest, TailMassIsOverEachQuerysOwnCleanService) {
  LoadTally tally(kDeadline);
  for (const int64_t latency_ms : {20, 41, 61, 101}) {
    tally.Record({.outcome = Outcome::kExact,
                  .latency = Milliseconds(latency_ms),
                  .clean_service = Milliseconds(20)});
  }
  // Five times the work, and no error is quick.
  tally.Record({.outcome = Outcome::kExact,
                .latency = Milliseconds(101),
                .clean_service = Milliseconds(100)});
  tally.Record({.outcome = Outcome::kError,
                .latency = Milliseconds(1),
                .clean_service = Milliseconds(20)});
  RunEntry entry;
  tally.FillEntry(&entry);
  EXPECT_THAT(entry.tail_mass.over_2_service,
              Optional(DoubleNear(4. / 6, 1e-9)));
  EXPECT_THAT(entry.tail_mass.over_3_service,
              Optional(DoubleNear(3. / 6, 1e-9)));
  EXPECT_THAT(entry.tail_mass.over_5_service,
              Optional(DoubleNear(2. / 6, 1e-9)));
}

TEST(LoadTallyTest, TailMassIsUnknownWithoutACleanService) {
  LoadTally tally(kDeadline);
  tally.Record(Answer(Outcome::kExact, true));
  RunEntry entry;
  tally.FillEntry(&entry);
  EXPECT_EQ(entry.tail_mass.over_2_service, std::nullopt);
}

TEST(LoadTallyTest, SplitsAccuracyBySourceOfAnswer) {
  LoadTally tally(kDeadline);
  for (int i = 0; i < 8; ++i) tally.Record(Answer(Outcome::kExact, i < 7));
  for (int i = 0; i < 2; ++i) {
    tally.Record(Answer(Outcome::kReconstructed, i < 1));
  }
  // Holds no prediction, so it lowers no accuracy.
  tally.Record(Answer(Outcome::kError, false));
  RunEntry entry;
  tally.FillEntry(&entry);
  EXPECT_THAT(entry.accuracy.exact, Optional(0.875));
  EXPECT_THAT(entry.accuracy.reconstructed, Optional(0.5));
  EXPECT_THAT(entry.accuracy.delivered, Optional(0.8));
  EXPECT_EQ(entry.accuracy.deployed, std::nullopt);
}

TEST(LoadTallyTest, AccuracyIsOfSamplesNotOfQueries) {
  LoadTally tally(kDeadline);
  FinishedQuery query = Answer(Outcome::kExact, true);
  query.deployed_right = 0;
  tally.Record(query);
  query.samples = 7;
  query.right = 5;
  query.deployed_right = 6;
  tally.Record(query);
  RunEntry entry;
  tally.FillEntry(&entry);
  EXPECT_EQ(entry.queries, 2);
  EXPECT_THAT(entry.accuracy.exact, Optional(0.75));
  EXPECT_THAT(entry.accuracy.delivered, Optional(0.75));
  EXPECT_THAT(entry.accuracy.deployed, Optional(0.75));
}

TEST(LoadTallyTest, DeployedAccuracyCountsEveryQuery) {
  LoadTally tally(kDeadline);
  FinishedQuery query = Answer(Outcome::kError, false);
  query.deployed_right = true;
  tally.Record(query);
  query.deployed_right = false;
  tally.Record(query);
  RunEntry entry;
  tally.FillEntry(&entry);
  EXPECT_THAT(entry.accuracy.deployed, Optional(0.5));
}

TEST(LoadTallyTest, FailuresCountAsTheDeadlineAtLeast) {
  for (const Outcome outcome :
       {Outcome::kDefault, Outcome::kError, Outcome::kLost}) {
    LoadTally tally(kDeadline);
    tally.Record(Answer(outcome, false));
    EXPECT_EQ(tally.latency().max(), kDeadline);
    FinishedQuery slow = Answer(outcome, false);
    slow.latency = Milliseconds(700);
    tally.Record(slow);
    EXPECT_EQ(tally.latency().max(), Milliseconds(700));
  }
}

TEST(LoadTallyTest, RefusesRunsThatSentLate) {
  LoadTally tally(kDeadline);
  EXPECT_THAT(tally.RefusalReason(), Optional(HasSubstr("no query")));
  for (int i = 0; i < 990; ++i) tally.RecordSend(Microseconds(1000));
  for (int i = 0; i < 10; ++i) tally.RecordSend(Microseconds(1001));
  EXPECT_EQ(tally.RefusalReason(), std::nullopt);
  tally.RecordSend(Microseconds(1001));
  EXPECT_THAT(tally.RefusalReason(),
              Optional(HasSubstr("1.10 % of the sends")));
  RunEntry entry;
  tally.FillEntry(&entry);
  EXPECT_TRUE(entry.refused.has_value());
}

TEST(LoadTallyTest, TailIntervalNeedsEnoughSamples) {
  LatencyHistogram histogram;
  for (int i = 1; i <= 1'000; ++i) histogram.Record(Microseconds(i));
  EXPECT_EQ(FiguresOf(histogram).p99_9_high, std::nullopt);
  for (int i = 1'001; i <= 100'000; ++i) histogram.Record(Microseconds(i));
  const LatencyFigures figures = FiguresOf(histogram);
  // Ranks 99,900 -+ 1.96 * sqrt(99.9), in microseconds.
  EXPECT_THAT(figures.p99_9_low, Optional(DoubleNear(99.88, 1.6)));
  EXPECT_THAT(figures.p99_9_high, Optional(DoubleNear(99.92, 1.6)));
  EXPECT_LE(figures.p99_9_low, figures.p99_9);
  EXPECT_LE(figures.p99_9, figures.p99_9_high);
}

TEST(LoadTallyTest, CdfRisesAndEndsAtTheMaximum) {
  LoadTally tally(kDeadline);
  FinishedQuery query = Answer(Outcome::kExact, true);
  for (int i = 1; i <= 5'000; ++i) {
    query.latency = Microseconds(i);
    tally.Record(query);
  }
  std::istringstream lines(tally.CdfCsv());
  std::string line;
  std::getline(lines, line);
  EXPECT_EQ(line, "quantile,latency_ms,latency_from_send_ms");
  double last_quantile = -1;
  double last_latency = 0;
  int num_lines = 0;
  while (std::getline(lines, line)) {
    double quantile = 0;
    double latency = 0;
    ASSERT_EQ(std::sscanf(line.c_str(), "%lf,%lf", &quantile, &latency), 2);
    EXPECT_GT(quantile, last_quantile);
    EXPECT_GE(latency, last_latency);
    last_quantile = quantile;
    last_latency = latency;
    ++num_lines;
  }
  EXPECT_GT(num_lines, 120);
  EXPECT_EQ(last_quantile, 1);
  EXPECT_EQ(last_latency, 5);
}

TEST(LoadTallyTest, NamesEveryOutcomeApart) {
  std::set<absl::string_view> names;
  for (size_t i = 0; i < kNumOutcomes; ++i) {
    names.insert(OutcomeName(static_cast<Outcome>(i)));
  }
  EXPECT_EQ(names.size(), kNumOutcomes);
  EXPECT_EQ(OutcomeName(*ParseSource("hedged")), "hedged");
  EXPECT_EQ(OutcomeName(Outcome::kLost), "lost");
}

TEST(LoadTallyTest, UnknownSourceIsNoOutcome) {
  EXPECT_THAT(ParseSource(""), Optional(Outcome::kExact));
  EXPECT_THAT(ParseSource("reconstructed"), Optional(Outcome::kReconstructed));
  EXPECT_EQ(ParseSource("guessed"), std::nullopt);
}

}  // namespace
}  // namespace parm
