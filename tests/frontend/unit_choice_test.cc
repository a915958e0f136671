#include "frontend/unit_choice.h"

#include <algorithm>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parm {
namespace {

using ::testing::Eq;
using ::testing::Field;
using ::testing::Optional;

constexpr double kMaxDrop = 0.02;

auto Chose(size_t position, UnitReason reason) {
  return Optional(::testing::AllOf(Field(&UnitVerdict::position, Eq(position)),
                                   Field(&UnitVerdict::reason, Eq(reason))));
}

TEST(ChooseUnitTest, NothingIsChosenOfNothing) {
  EXPECT_EQ(ChooseUnit({}, kMaxDrop), std::nullopt);
}

TEST(ChooseUnitTest, TheOnlyUnitIsChosenWhateverItsFigures) {
  EXPECT_THAT(ChooseUnit({{UnitFigures{}}}, kMaxDrop),
              Chose(0, UnitReason::kOnlyOne));
  EXPECT_THAT(
      ChooseUnit({{UnitFigures{.cost = 9, .accuracy_drop = 0.02}}}, kMaxDrop),
      Chose(0, UnitReason::kOnlyOne));
  for (const double cost : {0.0, 9.0}) {
    EXPECT_THAT(ChooseUnit({{UnitFigures{.cost = cost, .accuracy_drop = 0.5}}},
                           kMaxDrop),
                Chose(0, UnitReason::kOnlyOneBeyond));
  }
}

TEST(ChooseUnitTest, CheapestForEachQueryWithinTheBoundIsChosen) {
  const std::vector<UnitFigures> units = {
      {.k = 2, .cost = 0.9, .accuracy_drop = 0.001},
      {.k = 4, .cost = 1.2, .accuracy_drop = 0.02},   // at the bound
      {.k = 4, .cost = 0.5, .accuracy_drop = 0.021},  // beyond it
  };
  EXPECT_THAT(ChooseUnit(units, kMaxDrop), Chose(1, UnitReason::kCheapest));
}

TEST(ChooseUnitTest, AboutAsCheapIsJudgedByAccuracy) {
  const std::vector<UnitFigures> units = {
      {.k = 1, .cost = 1.0, .accuracy_drop = 0.015},
      {.k = 1, .cost = 1.09, .accuracy_drop = 0.005},
      {.k = 1, .cost = 1.12, .accuracy_drop = 0.0},
  };
  EXPECT_THAT(ChooseUnit(units, kMaxDrop), Chose(1, UnitReason::kMostAccurate));
}

TEST(ChooseUnitTest, GreaterCoverThenFewerBytesBreakTies) {
  const UnitFigures plain = {
      .k = 4, .cost = 1, .accuracy_drop = 0.01, .cover = 1, .bytes = 100};
  UnitFigures covering = plain;
  covering.cover = 4;
  UnitFigures small = covering;
  small.bytes = 50;
  EXPECT_EQ(ChooseUnit({{plain, covering}}, kMaxDrop)->position, 1U);
  EXPECT_EQ(ChooseUnit({{plain, covering, small}}, kMaxDrop)->position, 2U);
  EXPECT_EQ(ChooseUnit({{small, small}}, kMaxDrop)->position, 0U)
      << "as they are listed";
}

TEST(ChooseUnitTest, LeastDropIsChosenIfNoneIsWithinTheBound) {
  const std::vector<UnitFigures> units = {
      {.k = 4, .cost = 0.5, .accuracy_drop = 0.14},
      {.k = 2, .cost = 1.0, .accuracy_drop = 0.04},
      {.k = 4, .cost = 1.0, .accuracy_drop = 0.09},
  };
  EXPECT_THAT(ChooseUnit(units, kMaxDrop), Chose(1, UnitReason::kLeastDrop));
}

TEST(ChooseUnitTest, UnitsWithoutFiguresComeLast) {
  const UnitFigures costless = {.k = 4, .accuracy_drop = 0.0};
  const UnitFigures unjudged = {.k = 4, .cost = 0.1};
  const UnitFigures poor = {.k = 2, .cost = 2, .accuracy_drop = 0.3};
  EXPECT_THAT(ChooseUnit({{costless, unjudged, poor}}, kMaxDrop),
              Chose(2, UnitReason::kLeastDrop));
  EXPECT_THAT(ChooseUnit({{costless, unjudged}}, kMaxDrop),
              Chose(0, UnitReason::kFirstListed));
}

// The pages of experiments/results/accuracy, at k = 4.
TEST(ChooseUnitTest, MeasuredUnitsOfFashionAreRanked) {
  const UnitFigures sum = {.k = 4, .cost = 1.0, .accuracy_drop = 0.1256};
  const UnitFigures tile = {
      .k = 4, .cost = 0.97, .accuracy_drop = 0.0132, .cover = 4};
  const UnitFigures narrow = {
      .k = 4, .cost = 0.88, .accuracy_drop = 0.0150, .cover = 4};
  const UnitFigures small = {
      .k = 4, .cost = 0.82, .accuracy_drop = 0.0055, .cover = 4};
  const UnitFigures deployed = {
      .k = 4, .cost = 1.77, .accuracy_drop = 0, .cover = 4};
  EXPECT_EQ(ChooseUnit({{sum, tile, narrow, small, deployed}}, 0.02)->position,
            3U);
  EXPECT_EQ(ChooseUnit({{sum, tile, narrow, deployed}}, 0.02)->position, 2U);
  EXPECT_EQ(ChooseUnit({{sum, tile, deployed}}, 0.02)->position, 1U);
  EXPECT_EQ(ChooseUnit({{sum, tile, deployed}}, 0.005)->position, 2U)
      << "a strict bound is worth its price";
  EXPECT_EQ(ChooseUnit({{sum, deployed}}, 0.02)->position, 1U);
  EXPECT_EQ(ChooseUnit({{sum, deployed}}, 0.2)->position, 0U);
}

// Every pair and triple of a grid against the rule as it reads.
TEST(ChooseUnitTest, AnyThreeAreChosenAsTheRuleSays) {
  std::vector<UnitFigures> grid;
  for (const double cost : {0.0, 1.0, 1.05, 2.0}) {
    for (const std::optional<double> drop :
         {std::optional<double>(), std::optional<double>(0.0),
          std::optional<double>(0.02), std::optional<double>(0.05)}) {
      for (const int cover : {1, 2}) {
        grid.push_back({.k = 2,
                        .cost = cost,
                        .accuracy_drop = drop,
                        .cover = cover,
                        .bytes = 10.0 * cover});
      }
    }
  }
  const auto beats = [](const UnitFigures& a, const UnitFigures& b,
                        double least) {
    if (a.known() != b.known()) return a.known();
    if (!a.known()) return false;
    const auto allowed = [&](const UnitFigures& unit) {
      return *unit.accuracy_drop <= kMaxDrop &&
             unit.cost_per_query() <= kAsCheap * least;
    };
    if (allowed(a) != allowed(b)) return allowed(a);
    if (*a.accuracy_drop != *b.accuracy_drop) {
      return *a.accuracy_drop < *b.accuracy_drop;
    }
    if (a.cover != b.cover) return a.cover > b.cover;
    return a.bytes < b.bytes;
  };
  for (const UnitFigures& first : grid) {
    for (const UnitFigures& second : grid) {
      for (const UnitFigures& third : grid) {
        const std::vector<UnitFigures> units = {first, second, third};
        double least = 1e9;
        for (const UnitFigures& unit : units) {
          if (unit.known() && *unit.accuracy_drop <= kMaxDrop) {
            least = std::min(least, unit.cost_per_query());
          }
        }
        const auto verdict = ChooseUnit(units, kMaxDrop);
        ASSERT_TRUE(verdict.has_value());
        for (size_t i = 0; i < units.size(); ++i) {
          EXPECT_FALSE(beats(units[i], units[verdict->position], least))
              << "cost " << units[i].cost << " beats "
              << units[verdict->position].cost;
        }
      }
    }
  }
}

}  // namespace
}  // namespace parm
