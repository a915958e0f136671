#include "parity_trainer/learning_curve.h"

#include <limits>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "parity_trainer/panel_picture.h"
#include "tests/support/text_count.h"

namespace parm {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const std::vector<EpochRecord> kHistory = {
    {.epoch = 1, .step = 5, .loss = 2.5, .learning_rate = 0.01, .seconds = 3},
    {.epoch = 2,
     .step = 10,
     .loss = 1.5,
     .learning_rate = 0.005,
     .seconds = 6,
     .held_out_accuracy = 0.75}};

TEST(LearningCurveTest, EveryEpochIsALineOfJson) {
  EXPECT_EQ(ToJsonLines(kHistory),
            "{\"epoch\":1,\"step\":5,\"loss\":2.5,\"held_out_accuracy\":null,"
            "\"learning_rate\":0.01,\"seconds\":3}\n"
            "{\"epoch\":2,\"step\":10,\"loss\":1.5,"
            "\"held_out_accuracy\":0.75,\"learning_rate\":0.005,"
            "\"seconds\":6}\n");
  EXPECT_EQ(ToJsonLines({}), "");
}

TEST(LearningCurveTest, PictureHasADotForEachFigure) {
  const std::string svg = DrawLearningCurve(kHistory);
  EXPECT_EQ(CountOf(svg, "<circle"), 3U);
  EXPECT_THAT(svg, HasSubstr("held out"));
  EXPECT_EQ(CountOf(svg, "</svg>"), 1U);
}

TEST(PanelPictureTest, FiguresThatAreNotFiniteAreLeftOut) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::string svg = DrawPanels(std::vector<Panel>{
      {.x_label = "a",
       .y_label = "b",
       .curves = {{.label = "c", .points = {{1, nan}, {1, 2}, {1, 2}}}}},
      {.y_label = "empty"}});
  EXPECT_EQ(CountOf(svg, "<circle"), 2U);
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  EXPECT_THAT(svg, Not(HasSubstr("inf")));
  EXPECT_THAT(svg, HasSubstr("empty: not measured"));
}

}  // namespace
}  // namespace parm
