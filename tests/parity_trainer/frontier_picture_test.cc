#include "parity_trainer/frontier_picture.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/text_count.h"

namespace parm {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(FrontierPictureTest, EveryUnitIsADotWithItsName) {
  const std::string svg = DrawFrontier({{"tile k=2", 0.5, 0.91, false},
                                        {"pack k=2", 1.0, 0.93, true},
                                        {"sum k=4", 0.25, 0.77, false}},
                                       0.93);
  EXPECT_EQ(CountOf(svg, "<circle"), 3U);
  for (const char* const label : {"tile k=2", "pack k=2", "sum k=4"}) {
    EXPECT_THAT(svg, HasSubstr(label));
  }
  EXPECT_EQ(CountOf(svg, "<svg"), 1U);
  EXPECT_EQ(CountOf(svg, "</svg>"), 1U);
}

TEST(FrontierPictureTest, UnitsThatAreAllAlikeStillFit) {
  const std::string svg =
      DrawFrontier({{"a", 0, 0.5, false}, {"b", 0, 0.5, false}}, 0.5);
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  EXPECT_THAT(svg, Not(HasSubstr("inf")));
}

}  // namespace
}  // namespace parm
