#include "frontend/core/policies/late_share.h"

#include "gtest/gtest.h"

namespace parm::core {
namespace {

void Dispatch(LateShare& share, int count, int late_of_ten) {
  for (int i = 0; i < count; ++i) {
    share.OnDispatch();
    if (i % 10 < late_of_ten) share.OnLate();
  }
}

TEST(LateShareTest, FewDispatchesSayNothing) {
  LateShare share;
  Dispatch(share, 63, 10);
  EXPECT_FALSE(share.Exceeds(0.5));
}

TEST(LateShareTest, MinorityOfLateQueriesIsAllowed) {
  LateShare share;
  Dispatch(share, 1000, 4);
  EXPECT_FALSE(share.Exceeds(0.5));
  Dispatch(share, 128, 7);
  EXPECT_TRUE(share.Exceeds(0.5));
}

TEST(LateShareTest, ForgetsWhatIsLongAgo) {
  LateShare share;
  Dispatch(share, 1000, 10);
  EXPECT_TRUE(share.Exceeds(0.5));
  Dispatch(share, 128, 0);
  EXPECT_FALSE(share.Exceeds(0.5));
}

}  // namespace
}  // namespace parm::core
