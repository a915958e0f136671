#pragma once

// Status matchers for tests. There is no "not OK" matcher on purpose: a test
// names the code it expects.

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"

namespace parm {

inline const absl::Status& GetStatus(const absl::Status& status) {
  return status;
}
template <typename T>
const absl::Status& GetStatus(const absl::StatusOr<T>& result) {
  return result.status();
}

/// EXPECT_THAT(F(), IsOk());
MATCHER(IsOk, "is OK") {
  const absl::Status& status = GetStatus(arg);
  if (status.ok()) return true;
  *result_listener << status;
  return false;
}

/// EXPECT_THAT(F(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("x")));
MATCHER_P2(StatusIs, code, message_matcher, "") {
  const absl::Status& status = GetStatus(arg);
  *result_listener << status;
  return status.code() == code &&
         ::testing::ExplainMatchResult(
             message_matcher, std::string(status.message()), result_listener);
}

/// The code alone.
MATCHER_P(StatusIs, code, "") {
  const absl::Status& status = GetStatus(arg);
  *result_listener << status;
  return status.code() == code;
}

/// EXPECT_THAT(F(), IsOkAndHolds(Eq(3)));
MATCHER_P(IsOkAndHolds, value_matcher, "") {
  if (!arg.ok()) {
    *result_listener << arg.status();
    return false;
  }
  return ::testing::ExplainMatchResult(value_matcher, *arg, result_listener);
}

}  // namespace parm

#define PARM_ASSERT_OK_AND_ASSIGN(lhs, expr) \
  PARM_ASSERT_OK_AND_ASSIGN_(PARM_TEST_CONCAT_(parm_t_, __LINE__), lhs, expr)
#define PARM_TEST_CONCAT_INNER_(a, b) a##b
#define PARM_TEST_CONCAT_(a, b) PARM_TEST_CONCAT_INNER_(a, b)
#define PARM_ASSERT_OK_AND_ASSIGN_(tmp, lhs, expr) \
  auto tmp = (expr);                               \
  ASSERT_TRUE(tmp.ok()) << tmp.status();           \
  lhs = *std::move(tmp)
