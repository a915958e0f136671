#include "frontend/request_context.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/matchers.h"

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

TEST(SequenceStepOfTest, ReadsWhatClientsSayOfASequence) {
  PARM_ASSERT_OK_AND_ASSIGN(
      SequenceStep step,
      SequenceStepOf({{"sequence_id", int64_t{7}}, {"sequence_start", true}}));
  EXPECT_EQ(step.id, "7");
  EXPECT_TRUE(step.start);
  EXPECT_FALSE(step.end);
  PARM_ASSERT_OK_AND_ASSIGN(
      step, SequenceStepOf({{"sequence_start", false},
                            {"sequence_end", true},
                            {"sequence_id", std::string("7")}}));
  EXPECT_EQ(step.id, "'7'") << "another than the number's";
  EXPECT_FALSE(step.start);
  EXPECT_TRUE(step.end);
  PARM_ASSERT_OK_AND_ASSIGN(step,
                            SequenceStepOf({{"sequence_id", UINT64_MAX}}));
  EXPECT_EQ(step.id, "18446744073709551615");
  EXPECT_THAT(SequenceStepOf({{"sequence_id", std::string(257, 'a')}}),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(SequenceStepOfTest, ZeroAndNothingAreNoSequence) {
  for (const oip::ParameterValue& none :
       {oip::ParameterValue(int64_t{0}), oip::ParameterValue(uint64_t{0}),
        oip::ParameterValue(std::string())}) {
    PARM_ASSERT_OK_AND_ASSIGN(
        const SequenceStep step,
        SequenceStepOf({{"sequence_id", none}, {"sequence_start", true}}));
    EXPECT_EQ(step.id, "");
  }
}

}  // namespace
}  // namespace parm
