#include "frontend/error_texts.h"

#include "gtest/gtest.h"

namespace parm {
namespace {

TEST(ErrorTextsTest, KeepsTheLastOfABoundedNumber) {
  ErrorTexts texts;
  for (uint64_t i = 1; i <= 300; ++i) {
    texts.Remember(TaskId{i}, std::to_string(i));
  }
  EXPECT_EQ(texts.Get(TaskId{44}), "");
  EXPECT_EQ(texts.Get(TaskId{45}), "45");
  EXPECT_EQ(texts.Get(TaskId{300}), "300");
}

TEST(ErrorTextsTest, CutsLongTextsAndReplacesOldOnes) {
  ErrorTexts texts;
  texts.Remember(TaskId{1}, std::string(10'000, 'x'));
  EXPECT_EQ(texts.Get(TaskId{1}).size(), 512U);
  texts.Remember(TaskId{1}, "again");
  EXPECT_EQ(texts.Get(TaskId{1}), "again");
}

TEST(ErrorTextsTest, TellsTheCodeThatWasRemembered) {
  ErrorTexts texts;
  texts.Remember(TaskId{1}, "no", absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(texts.CodeOf(TaskId{1}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(texts.CodeOf(TaskId{2}), absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace parm
