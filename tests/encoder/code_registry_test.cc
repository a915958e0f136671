// CreateCode, Supports, CodeSchemes and ToString of encoder/code.h.

#include <limits>

#include "encoder/code.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(CodeRegistryTest, ListsSchemesInAFixedOrder) {
  EXPECT_THAT(CodeSchemes(), ElementsAre("sum", "weighted", "concat", "tile",
                                         "stack", "pack"));
}

TEST(CodeRegistryTest, SpecsReadAsInMessages) {
  EXPECT_EQ(ToString({.scheme = "sum", .k = 2}), "sum k=2 r=1");
}

TEST(CodeRegistryTest, SumTakesTwoToEightMembers) {
  for (int k = -1; k <= 20; ++k) {
    EXPECT_EQ(Supports({.scheme = "sum", .k = k}), k >= 2 && k <= 8) << k;
    EXPECT_FALSE(Supports({.scheme = "sum", .k = k, .r = 2})) << k;
    EXPECT_FALSE(Supports({.scheme = "sum", .k = k, .r = 0})) << k;
  }
}

TEST(CodeRegistryTest, PackTakesOneToSixteenMembers) {
  for (int k = -1; k <= 20; ++k) {
    EXPECT_EQ(Supports({.scheme = "pack", .k = k}), k >= 1 && k <= 16) << k;
    EXPECT_FALSE(Supports({.scheme = "pack", .k = k, .r = 2})) << k;
  }
}

TEST(CodeRegistryTest, WeightedTakesUpToThreeParities) {
  for (int k = -1; k <= 20; ++k) {
    const bool takes = k >= 2 && k <= 8;
    EXPECT_EQ(Supports({.scheme = "weighted", .k = k}), takes) << k;
    EXPECT_EQ(Supports({.scheme = "weighted", .k = k, .r = 2}), takes) << k;
    EXPECT_EQ(Supports({.scheme = "weighted", .k = k, .r = 3}),
              k >= 2 && k <= 4)
        << k;
    EXPECT_FALSE(Supports({.scheme = "weighted", .k = k, .r = 4})) << k;
  }
}

TEST(CodeRegistryTest, PictureGridsTakeWhatTheyCanLayOut) {
  for (int k = -1; k <= 20; ++k) {
    EXPECT_EQ(Supports({.scheme = "concat", .k = k}), k == 2 || k == 4) << k;
    EXPECT_EQ(Supports({.scheme = "tile", .k = k}), k >= 2 && k <= 16) << k;
    EXPECT_EQ(Supports({.scheme = "stack", .k = k}), k >= 2 && k <= 16) << k;
    for (const char* scheme : {"concat", "tile", "stack"}) {
      EXPECT_FALSE(Supports({.scheme = scheme, .k = k, .r = 2})) << k;
    }
  }
}

TEST(CodeRegistryTest, CreatesExactlyWhatItSupports) {
  constexpr int kExtremes[] = {
      std::numeric_limits<int>::min(), -1, 0, 1, 2, 8, 9, 16, 17,
      std::numeric_limits<int>::max()};
  for (const std::string& scheme : CodeSchemes()) {
    for (int k : kExtremes) {
      for (int r : kExtremes) {
        const CodeSpec spec = {.scheme = scheme, .k = k, .r = r};
        const auto code = CreateCode(spec);
        ASSERT_EQ(code.ok(), Supports(spec)) << ToString(spec);
        if (code.ok()) {
          EXPECT_EQ((*code)->spec(), spec);
        } else {
          EXPECT_THAT(code, StatusIs(absl::StatusCode::kInvalidArgument));
        }
      }
    }
  }
}

TEST(CodeRegistryTest, UnknownSchemeErrorNamesTheKnownOnes) {
  EXPECT_FALSE(Supports({.scheme = "Sum", .k = 2}));
  EXPECT_THAT(
      CreateCode({.scheme = "Sum", .k = 2}),
      StatusIs(absl::StatusCode::kInvalidArgument,
               AllOf(HasSubstr("\"Sum\""), HasSubstr("sum, weighted"))));
}

TEST(CodeRegistryTest, RangeErrorSaysWhatTheSchemeTakes) {
  EXPECT_THAT(CreateCode({.scheme = "sum", .k = 9}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("sum k=9 r=1"),
                             HasSubstr("k = 2..8 and r = 1"))));
}

}  // namespace
}  // namespace parm
