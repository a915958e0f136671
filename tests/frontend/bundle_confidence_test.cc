#include "frontend/bundle_confidence.h"

#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parm {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

ConfidenceStep Step(double probability) {
  return {.probability_right = probability};
}

void AddPattern(uint32_t losses, uint32_t parities, double probability,
                wire::BundleInfo* info) {
  wire::PatternCalibration* pattern = info->add_pattern_calibration();
  pattern->set_losses(losses);
  pattern->set_parities(parities);
  pattern->add_calibration()->set_probability_right(probability);
}

// One loss from parity 0 alone, two from both.
wire::BundleInfo FirstOfTwo() {
  wire::BundleInfo info;
  info.add_calibration()->set_probability_right(0.875);
  AddPattern(1, 1, 0.75, &info);
  AddPattern(2, 3, 0.5, &info);
  return info;
}

std::unique_ptr<const Code> MakeCode(const std::string& scheme, int r) {
  return CreateCode({.scheme = scheme, .k = 2, .r = r}).value();
}

TEST(BundleConfidenceTest, EachPatternHasItsOwnTable) {
  BundleConfidence confidence;
  TakeConfidence(FirstOfTwo(), &confidence);
  const auto code = MakeCode("weighted", 2);
  EXPECT_THAT(TableFor(confidence, *code, {.losses = 1, .parities = 3}),
              ElementsAre(Step(0.875)));
  EXPECT_THAT(TableFor(confidence, *code, {.losses = 1, .parities = 1}),
              ElementsAre(Step(0.75)));
  EXPECT_THAT(TableFor(confidence, *code, {.losses = 2, .parities = 3}),
              ElementsAre(Step(0.5)));
  EXPECT_THAT(TableFor(confidence, *code, {.losses = 1, .parities = 2}),
              IsEmpty());
}

TEST(BundleConfidenceTest, OneTableTellsOfItsOwnPatternAlone) {
  wire::BundleInfo info = FirstOfTwo();
  info.clear_pattern_calibration();
  BundleConfidence confidence;
  TakeConfidence(info, &confidence);
  for (const DecodePattern& pattern :
       {DecodePattern{.losses = 1, .parities = 1}, {2, 3}}) {
    EXPECT_THAT(TableFor(confidence, *MakeCode("weighted", 2), pattern),
                IsEmpty());
  }
  EXPECT_THAT(TableFor(confidence, *MakeCode("sum", 1), {}),
              ElementsAre(Step(0.875)));
  EXPECT_THAT(TableFor(confidence, *MakeCode("sum", 1), {.losses = 2}),
              IsEmpty());
}

TEST(BundleConfidenceTest, MultiOutputCodesHaveOneTableForAll) {
  BundleConfidence confidence;
  TakeConfidence(FirstOfTwo(), &confidence);
  for (const int losses : {1, 2}) {
    EXPECT_THAT(TableFor(confidence, *MakeCode("pack", 1), {.losses = losses}),
                ElementsAre(Step(0.875)));
  }
}

TEST(BundleConfidenceTest, WorkersWithoutTablesTakeNothingAway) {
  BundleConfidence confidence;
  TakeConfidence(FirstOfTwo(), &confidence);
  TakeConfidence({}, &confidence);
  EXPECT_THAT(confidence.usual, ElementsAre(Step(0.875)));
  EXPECT_EQ(confidence.others.size(), 2U);
  wire::BundleInfo later;
  AddPattern(1, 1, 0.25, &later);
  TakeConfidence(later, &confidence);
  EXPECT_THAT(confidence.usual, ElementsAre(Step(0.875)));
  EXPECT_THAT(confidence.others,
              ElementsAre(PatternTable{.pattern = {.losses = 1, .parities = 1},
                                       .steps = {Step(0.25)}}));
}

}  // namespace
}  // namespace parm
