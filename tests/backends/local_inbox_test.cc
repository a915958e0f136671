#include "backends/local_inbox.h"

#include "gtest/gtest.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

TEST(LocalInboxTest, RefusesMoreThanItsBound) {
  LocalInbox inbox(2);
  EXPECT_THAT(inbox.Push({}), IsOk());
  EXPECT_THAT(inbox.Push({}), IsOk());
  EXPECT_THAT(inbox.Push({}), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(inbox.Drain().size(), 2);
  EXPECT_TRUE(inbox.Drain().empty());
  EXPECT_THAT(inbox.Push({}), IsOk());
}

TEST(LocalInboxTest, RefusesEverythingOnceItIsClosed) {
  LocalInbox inbox(2);
  EXPECT_THAT(inbox.Push({}), IsOk());
  EXPECT_EQ(inbox.Close().size(), 1);
  EXPECT_THAT(inbox.Push({}), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_TRUE(inbox.Close().empty());
}

}  // namespace
}  // namespace parm
