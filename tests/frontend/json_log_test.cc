#include "frontend/json_log.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "spdlog/spdlog.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::HasSubstr;

TEST(JsonLogTest, WritesOneObjectALineWhateverIsLogged) {
  ASSERT_THAT(StartLogging("json", "info"), IsOk());
  ::testing::internal::CaptureStderr();
  spdlog::debug("not this");
  spdlog::warn("he said \"no\"\n{}", 5);
  spdlog::default_logger()->flush();
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(log, HasSubstr("\"level\":\"warning\""));
  EXPECT_THAT(log, HasSubstr("\"logger\":\"parm-frontend\""));
  EXPECT_THAT(log, HasSubstr("\"message\":\"he said \\\"no\\\"\\n5\"}"));
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 1);
}

TEST(JsonLogTest, WritesTextForPeople) {
  ASSERT_THAT(StartLogging("text", "warn"), IsOk());
  ::testing::internal::CaptureStderr();
  spdlog::info("not this");
  spdlog::error("this");
  spdlog::default_logger()->flush();
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(log, HasSubstr("this"));
  EXPECT_THAT(log, ::testing::Not(HasSubstr("not this")));
}

TEST(JsonLogTest, RefusesAnUnknownFormat) {
  EXPECT_THAT(StartLogging("xml", "info"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("want text or json")));
}

}  // namespace
}  // namespace parm
