#include "base/status_macros.h"

#include <memory>
#include <utility>

#include "gtest/gtest.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::Eq;

absl::StatusOr<int> Half(int value) {
  if (value % 2 != 0) return absl::InvalidArgumentError("odd");
  return value / 2;
}

absl::StatusOr<int> Quarter(int value) {
  PARM_ASSIGN_OR_RETURN(const int half, Half(value));
  PARM_ASSIGN_OR_RETURN(int quarter, Half(half));
  return quarter;
}

absl::Status CheckThenCount(const absl::Status& status, int* num_after) {
  PARM_RETURN_IF_ERROR(status);
  ++*num_after;
  return absl::OkStatus();
}

absl::StatusOr<int> Unwrap(absl::StatusOr<std::unique_ptr<int>> value) {
  PARM_ASSIGN_OR_RETURN(std::unique_ptr<int> owned, std::move(value));
  return *owned;
}

TEST(StatusMacrosTest, AssignsTheValueOrReturnsTheError) {
  EXPECT_THAT(Quarter(8), IsOkAndHolds(Eq(2)));
  EXPECT_THAT(Quarter(7), StatusIs(absl::StatusCode::kInvalidArgument, "odd"));
  EXPECT_THAT(Quarter(6), StatusIs(absl::StatusCode::kInvalidArgument, "odd"));
}

TEST(StatusMacrosTest, ErrorReturnsBeforeWhatFollows) {
  int num_after = 0;
  EXPECT_THAT(CheckThenCount(absl::DataLossError("x"), &num_after),
              StatusIs(absl::StatusCode::kDataLoss, "x"));
  EXPECT_EQ(num_after, 0);
  EXPECT_THAT(CheckThenCount(absl::OkStatus(), &num_after), IsOk());
  EXPECT_EQ(num_after, 1);
}

TEST(StatusMacrosTest, AssignsValuesThatOnlyMove) {
  EXPECT_THAT(Unwrap(std::make_unique<int>(5)), IsOkAndHolds(Eq(5)));
  EXPECT_THAT(Unwrap(absl::NotFoundError("none")),
              StatusIs(absl::StatusCode::kNotFound));
}

TEST(StatusMacrosTest, ExpressionIsEvaluatedOnce) {
  int num_calls = 0;
  const auto call = [&num_calls] {
    ++num_calls;
    return absl::StatusOr<int>(1);
  };
  const auto run = [&call]() -> absl::Status {
    PARM_ASSIGN_OR_RETURN(const int value, call());
    PARM_RETURN_IF_ERROR(call().status());
    return value == 1 ? absl::OkStatus() : absl::InternalError("not 1");
  };
  EXPECT_THAT(run(), IsOk());
  EXPECT_EQ(num_calls, 2);
}

TEST(StatusMacrosDeathTest, FailedCheckNamesItsCondition) {
  const int value = 3;
  PARM_CHECK(value == 3);
  EXPECT_DEATH(PARM_CHECK(value == 4),
               "status_macros_test.cc:[0-9]+: check failed: value == 4");
}

}  // namespace
}  // namespace parm
