#include "proto/duration.h"

#include "gtest/gtest.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::Eq;
using ::testing::HasSubstr;

TEST(DurationTest, ReadsEachUnitAsNanoseconds) {
  EXPECT_THAT(ParseDuration("250ns"), IsOkAndHolds(Eq(Duration(250))));
  EXPECT_THAT(ParseDuration("20us"), IsOkAndHolds(Eq(Microseconds(20))));
  EXPECT_THAT(ParseDuration("500ms"), IsOkAndHolds(Eq(Milliseconds(500))));
  EXPECT_THAT(ParseDuration("2s"), IsOkAndHolds(Eq(Milliseconds(2000))));
  EXPECT_THAT(ParseDuration("0s"), IsOkAndHolds(Eq(Duration(0))));
}

TEST(DurationTest, RoundsFractionsToTheNearestNanosecond) {
  EXPECT_THAT(ParseDuration("1.5s"), IsOkAndHolds(Eq(Milliseconds(1500))));
  EXPECT_THAT(ParseDuration("0.1ms"), IsOkAndHolds(Eq(Microseconds(100))));
  EXPECT_THAT(ParseDuration("0.3us"), IsOkAndHolds(Eq(Duration(300))));
  EXPECT_THAT(ParseDuration("1.6ns"), IsOkAndHolds(Eq(Duration(2))));
}

TEST(DurationTest, AcceptsOneHourAndRefusesMore) {
  EXPECT_THAT(ParseDuration("3600s"),
              IsOkAndHolds(Eq(Duration(std::chrono::hours(1)))));
  EXPECT_THAT(ParseDuration("3600.1s"),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ParseDuration("99999999999999999999999999999999s"),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(DurationTest, RefusesWhatIsNoDuration) {
  for (const char* text :
       {"",      "5",     "ms",   "-5ms", "+5ms",  "5 ms", " 5ms",
        "5ms ",  "5m",    "5h",   "5MS",  "5.ms",  ".5ms", "1.2.3ms",
        "1e3ms", "0x5ms", "infs", "nans", "5msms", "1,5s"}) {
    SCOPED_TRACE(text);
    EXPECT_THAT(ParseDuration(text),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("expected a duration such as 500ms")));
  }
}

TEST(DurationTest, FallsBackOnlyWhenTextIsEmpty) {
  EXPECT_EQ(DurationOr("", Milliseconds(7)), Milliseconds(7));
  EXPECT_EQ(DurationOr("9ms", Milliseconds(7)), Milliseconds(9));
}

}  // namespace
}  // namespace parm
