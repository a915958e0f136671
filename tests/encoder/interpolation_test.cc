// Properties of barycentric rational interpolation: rows sum to 1, node
// collisions, no poles, and the degrees that each family reproduces.

#include "encoder/interpolation.h"

#include <cmath>
#include <cstddef>
#include <random>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parm {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;

constexpr uint32_t kSeed = 20240606;

constexpr WeightFamily kFamilies[] = {
    WeightFamily::kBerrut1, WeightFamily::kBerrut2,
    WeightFamily::kFloaterHormann1, WeightFamily::kFloaterHormann2,
    WeightFamily::kFloaterHormann3};

// Descending, within (-1, 1), with gaps of all sizes.
std::vector<double> RandomNodes(std::mt19937& random, int count) {
  std::uniform_real_distribution<double> gap(0.1, 1);
  std::vector<double> nodes;
  double place = 0;
  for (int i = 0; i < count; ++i) nodes.push_back(place += gap(random));
  for (double& node : nodes) node = 1 - 2 * node / (place + 0.1);
  return nodes;
}

double RowSum(const Matrix& matrix, int row) {
  double sum = 0;
  for (int i = 0; i < matrix.num_columns(); ++i) sum += matrix.at(row, i);
  return sum;
}

TEST(InterpolationTest, NodesAreChebyshevs) {
  EXPECT_THAT(FirstKindNodes(2),
              ElementsAre(DoubleNear(std::sqrt(0.5), 1e-15),
                          DoubleNear(-std::sqrt(0.5), 1e-15)));
  EXPECT_THAT(SecondKindNodes(3), ElementsAre(1, DoubleNear(0, 1e-15), -1));
  for (int count = 2; count <= 16; ++count) {
    for (const auto& nodes : {FirstKindNodes(count), SecondKindNodes(count)}) {
      for (size_t i = 1; i < nodes.size(); ++i) {
        EXPECT_LT(nodes[i], nodes[i - 1]);
      }
    }
  }
}

TEST(InterpolationTest, WeightsOfEqualDistancesAreTheKnownOnes) {
  const std::vector<double> nodes = {4, 3, 2, 1, 0};
  EXPECT_THAT(BarycentricWeights(nodes, WeightFamily::kBerrut1),
              ElementsAre(1, -1, 1, -1, 1));
  EXPECT_THAT(BarycentricWeights(nodes, WeightFamily::kBerrut2),
              ElementsAre(0.5, -1, 1, -1, 0.5));
  EXPECT_THAT(BarycentricWeights(nodes, WeightFamily::kFloaterHormann1),
              ElementsAre(1, -2, 2, -2, 1));
  EXPECT_THAT(BarycentricWeights(nodes, WeightFamily::kFloaterHormann2),
              ElementsAre(0.5, -1.5, 2, -1.5, 0.5));
}

TEST(InterpolationTest, RowsSumToOneEverywhere) {
  std::mt19937 random(kSeed);
  for (WeightFamily family : kFamilies) {
    for (int count = 1; count <= 16; ++count) {
      const auto nodes = RandomNodes(random, count);
      const auto targets = RandomNodes(random, 16);
      const Matrix matrix = InterpolationMatrix(nodes, targets, family);
      for (int row = 0; row < 16; ++row) {
        EXPECT_NEAR(RowSum(matrix, row), 1, 1e-9)
            << WeightFamilyName(family) << " of " << count;
      }
    }
  }
}

TEST(InterpolationTest, TargetsOnNodesHaveUnitRows) {
  std::mt19937 random(kSeed);
  for (WeightFamily family : kFamilies) {
    for (int count = 1; count <= 16; ++count) {
      const auto nodes = RandomNodes(random, count);
      std::vector<double> targets = nodes;
      for (double& target : targets) target += 1e-14;
      const Matrix matrix = InterpolationMatrix(nodes, targets, family);
      for (int row = 0; row < count; ++row) {
        for (int i = 0; i < count; ++i) {
          EXPECT_EQ(matrix.at(row, i), row == i ? 1 : 0);
        }
      }
    }
  }
}

// The limit at a node is the unit row: nothing jumps close to it.
TEST(InterpolationTest, RowsNearANodeAreNearlyUnit) {
  std::mt19937 random(kSeed);
  for (WeightFamily family : kFamilies) {
    const auto nodes = RandomNodes(random, 9);
    for (double distance : {1e-8, -1e-8, 1e-11, -1e-11}) {
      const double target[] = {nodes[4] + distance};
      const Matrix matrix = InterpolationMatrix(nodes, target, family);
      for (int i = 0; i < 9; ++i) {
        EXPECT_NEAR(matrix.at(0, i), i == 4 ? 1 : 0, 1e-3);
      }
    }
  }
}

TEST(InterpolationTest, HasNoPolesBetweenItsNodes) {
  std::mt19937 random(kSeed);
  for (WeightFamily family : kFamilies) {
    for (int count = 2; count <= 16; ++count) {
      const auto nodes = FirstKindNodes(count);
      std::vector<double> targets;
      for (int i = 0; i <= 2000; ++i) targets.push_back(1 - i * 1e-3);
      const Matrix matrix = InterpolationMatrix(nodes, targets, family);
      for (int row = 0; row < matrix.num_rows(); ++row) {
        for (int i = 0; i < count; ++i) {
          ASSERT_LT(std::abs(matrix.at(row, i)), 100)
              << WeightFamilyName(family) << " at "
              << targets[static_cast<size_t>(row)];
        }
      }
    }
  }
}

TEST(InterpolationTest, ReproducesPolynomialsOfItsDegree) {
  std::mt19937 random(kSeed);
  const int degrees[] = {0, 0, 1, 2, 3};
  for (size_t f = 0; f < std::size(kFamilies); ++f) {
    for (int count = degrees[f] + 1; count <= 12; ++count) {
      const auto nodes = RandomNodes(random, count);
      const auto targets = RandomNodes(random, 20);
      const Matrix matrix = InterpolationMatrix(nodes, targets, kFamilies[f]);
      for (int power = 0; power <= degrees[f]; ++power) {
        for (int row = 0; row < 20; ++row) {
          double got = 0;
          for (int i = 0; i < count; ++i) {
            got += matrix.at(row, i) *
                   std::pow(nodes[static_cast<size_t>(i)], power);
          }
          EXPECT_NEAR(got, std::pow(targets[static_cast<size_t>(row)], power),
                      1e-8)
              << WeightFamilyName(kFamilies[f]) << " of " << count;
        }
      }
    }
  }
}

}  // namespace
}  // namespace parm
