#include "frontend/request_context.h"

#include "gtest/gtest.h"

namespace parm {
namespace {

bool Says(absl::string_view headers) {
  return SaysFurtherAttempt(headers, DefaultAttemptHeaders());
}

TEST(SaysFurtherAttemptTest, FirstAttemptsAreNone) {
  EXPECT_FALSE(Says(""));
  EXPECT_FALSE(Says("Accept: text/plain\r\n"));
  EXPECT_FALSE(Says("x-envoy-attempt-count: 1\r\n"));
  EXPECT_FALSE(Says("grpc-previous-rpc-attempts: 0\r\n"));
}

TEST(SaysFurtherAttemptTest, LaterAttemptsAreSaidSo) {
  EXPECT_TRUE(Says("A: b\r\nX-Envoy-Attempt-Count:2\r\nC: d\r\n"));
  EXPECT_TRUE(Says("grpc-previous-rpc-attempts: 1\r\n"));
}

TEST(SaysFurtherAttemptTest, ValueWithoutANumberSaysSo) {
  EXPECT_TRUE(Says("x-envoy-attempt-count: retry\r\n"));
  EXPECT_TRUE(Says("x-envoy-attempt-count: 99999999999999\r\n"));
  EXPECT_FALSE(Says("x-envoy-attempt-count\r\n")) << "no header at all";
}

TEST(SaysFurtherAttemptTest, OnlyTheGivenHeadersCount) {
  const std::vector<AttemptHeader> own = {{.name = "x-retry", .first = 0}};
  EXPECT_TRUE(SaysFurtherAttempt("X-Retry: yes\r\n", own));
  EXPECT_FALSE(SaysFurtherAttempt("x-envoy-attempt-count: 3\r\n", own));
  EXPECT_FALSE(SaysFurtherAttempt("x-envoy-attempt-count: 3\r\n", {}));
}

}  // namespace
}  // namespace parm
