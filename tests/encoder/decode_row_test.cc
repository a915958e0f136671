// The solver as algebra: for random coefficients and every arrival pattern, a
// row it returns rebuilds the lost output, and none exists where it returns
// none.

#include "encoder/decode_row.h"

#include <bit>
#include <cmath>
#include <random>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace parm {
namespace {

constexpr int kNumSeeds = 5;

// Coefficients away from zero.
Matrix RandomMatrix(uint32_t seed, int num_rows, int num_columns) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> magnitude(0.5, 2);
  std::bernoulli_distribution negative;
  Matrix matrix(num_rows, num_columns);
  for (int row = 0; row < num_rows; ++row) {
    for (int column = 0; column < num_columns; ++column) {
      matrix.at(row, column) = magnitude(random) * (negative(random) ? -1 : 1);
    }
  }
  return matrix;
}

bool Has(ArrivalMask mask, int bit) { return ((mask >> bit) & 1U) != 0; }

// Rank by elimination with complete pivoting.
int Rank(std::vector<std::vector<double>> rows) {
  int rank = 0;
  const size_t num_columns = rows.empty() ? 0 : rows[0].size();
  std::vector<bool> used_row(rows.size());
  std::vector<bool> used_column(num_columns);
  while (true) {
    size_t best_row = 0;
    size_t best_column = 0;
    double best = 1e-9;
    for (size_t i = 0; i < rows.size(); ++i) {
      for (size_t j = 0; j < num_columns; ++j) {
        if (used_row[i] || used_column[j] || std::abs(rows[i][j]) <= best) {
          continue;
        }
        best = std::abs(rows[i][j]);
        best_row = i;
        best_column = j;
      }
    }
    if (best == 1e-9) return rank;
    ++rank;
    used_row[best_row] = true;
    used_column[best_column] = true;
    for (size_t i = 0; i < rows.size(); ++i) {
      if (used_row[i]) continue;
      const double factor = rows[i][best_column] / rows[best_row][best_column];
      for (size_t j = 0; j < num_columns; ++j) {
        rows[i][j] -= factor * rows[best_row][j];
      }
    }
  }
}

// Whether e_lost lies in the span of what arrived.
bool IsDetermined(const Matrix& answer, ArrivalMask arrived, int lost) {
  const int n = answer.num_columns();
  std::vector<std::vector<double>> rows;
  for (int member = 0; member < n; ++member) {
    if (member == lost || !Has(arrived, member)) continue;
    rows.emplace_back(static_cast<size_t>(n))[static_cast<size_t>(member)] = 1;
  }
  for (int p = 0; p < answer.num_rows(); ++p) {
    if (!Has(arrived, n + p)) continue;
    std::vector<double>& row = rows.emplace_back();
    for (int member = 0; member < n; ++member) {
      row.push_back(answer.at(p, member));
    }
  }
  const int rank = Rank(rows);
  rows.emplace_back(static_cast<size_t>(n))[static_cast<size_t>(lost)] = 1;
  return Rank(rows) == rank;
}

// Every pattern of `answer`: the row, if any, maps outputs to the lost one.
void ExpectRowsRebuild(const Matrix& answer) {
  const int n = answer.num_columns();
  const int r = answer.num_rows();
  std::mt19937 random(7);
  std::normal_distribution<double> normal;
  std::vector<double> outputs;
  for (int member = 0; member < n; ++member) outputs.push_back(normal(random));
  for (int p = 0; p < r; ++p) {
    double sum = 0;
    for (int member = 0; member < n; ++member) {
      sum += answer.at(p, member) * outputs[static_cast<size_t>(member)];
    }
    outputs.push_back(sum);
  }

  for (ArrivalMask arrived = 0; arrived < 1U << (n + r); ++arrived) {
    for (int lost = 0; lost < n; ++lost) {
      SCOPED_TRACE(testing::Message() << "n=" << n << " r=" << r << " arrived="
                                      << arrived << " lost=" << lost);
      const auto row = SolveDecodeRow(answer, arrived, lost);
      ASSERT_EQ(row.has_value(), IsDetermined(answer, arrived, lost));
      if (!row.has_value()) continue;
      double rebuilt = 0;
      double gain = 0;
      for (int slot = 0; slot < n + r; ++slot) {
        const double weight = row->weights[static_cast<size_t>(slot)];
        if (weight == 0) continue;
        ASSERT_TRUE(slot != lost && Has(arrived, slot)) << "uses " << slot;
        rebuilt += weight * outputs[static_cast<size_t>(slot)];
        gain += std::abs(weight);
      }
      EXPECT_NEAR(rebuilt, outputs[static_cast<size_t>(lost)], 1e-9 * gain);
      EXPECT_NEAR(row->noise_gain, gain, 1e-12 * gain);
    }
  }
}

TEST(SolveDecodeRowTest, RebuildsEveryDeterminedPatternOfRandomCoefficients) {
  for (uint32_t seed = 0; seed < kNumSeeds; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed=" << seed);
    for (int r = 1; r <= 3; ++r) {
      for (int n = 1; n <= 6; ++n) {
        ExpectRowsRebuild(RandomMatrix(seed, r, n));
      }
    }
  }
}

TEST(SolveDecodeRowTest, RandomCoefficientsTolerateAnyRLosses) {
  for (uint32_t seed = 0; seed < kNumSeeds; ++seed) {
    for (int r = 1; r <= 3; ++r) {
      const int n = 5;
      const Matrix answer = RandomMatrix(seed, r, n);
      for (ArrivalMask arrived = 0; arrived < 1U << (n + r); ++arrived) {
        for (int lost = 0; lost < n; ++lost) {
          if (Has(arrived, lost)) continue;
          EXPECT_EQ(SolveDecodeRow(answer, arrived, lost).has_value(),
                    std::popcount(arrived) >= n);
        }
      }
    }
  }
}

// A parity of half the members each: three may be lost and one still found.
TEST(SolveDecodeRowTest, FindsMembersOfLocalParities) {
  Matrix answer(2, 4);
  answer.at(0, 0) = answer.at(0, 1) = 1;
  answer.at(1, 2) = answer.at(1, 3) = 1;
  ExpectRowsRebuild(answer);
  // Arrived: member 1 and the first parity.
  EXPECT_TRUE(SolveDecodeRow(answer, 0b01'0010, 0).has_value());
  EXPECT_FALSE(SolveDecodeRow(answer, 0b01'0010, 2).has_value());
}

TEST(SolveDecodeRowTest, EqualParitiesCountOnce) {
  const Matrix answer(2, 3, 1);
  ExpectRowsRebuild(answer);
  // Two parities that say the same do not make up for two losses.
  EXPECT_FALSE(SolveDecodeRow(answer, 0b11'001, 1).has_value());
}

TEST(SolveDecodeRowTest, EqualParitiesAreAveraged) {
  const auto row = SolveDecodeRow(Matrix(2, 3, 1), 0b11'110, 0);
  ASSERT_TRUE(row.has_value());
  EXPECT_NEAR(row->weights[3], 0.5, 1e-12);
  EXPECT_NEAR(row->weights[4], 0.5, 1e-12);
  EXPECT_NEAR(row->weights[1], -1, 1e-12);
}

TEST(SolveDecodeRowTest, ParitiesCountByWhatTheyTell) {
  Matrix answer(2, 2);
  answer.at(0, 0) = 0.1;  // X0 = 10 P0 - 10 X1
  answer.at(0, 1) = 1;
  answer.at(1, 0) = 1;  // X0 = P1 - X1
  answer.at(1, 1) = 1;
  const auto row = SolveDecodeRow(answer, 0b11'10, 0);
  ASSERT_TRUE(row.has_value());
  EXPECT_NEAR(row->weights[2], 0.1 / 1.01, 1e-12);
  EXPECT_NEAR(row->weights[3], 1 / 1.01, 1e-12);
  EXPECT_NEAR(row->weights[1], -1.1 / 1.01, 1e-12);
}

// Of all weights that rebuild the lost output, those of one parity too.
TEST(SolveDecodeRowTest, NoWeightsAreSmaller) {
  const auto squares = [](const DecodeRow& row, int n, int r) {
    double sum = 0;
    for (int p = 0; p < r; ++p) {
      const double weight = row.weights[static_cast<size_t>(n + p)];
      sum += weight * weight;
    }
    return sum;
  };
  for (uint32_t seed = 0; seed < kNumSeeds; ++seed) {
    const int n = 4;
    const int r = 3;
    const Matrix answer = RandomMatrix(seed, r, n);
    for (ArrivalMask arrived = 0; arrived < 1U << (n + r); ++arrived) {
      const auto row = SolveDecodeRow(answer, arrived, 0);
      for (int p = 0; row.has_value() && p < r; ++p) {
        const auto other =
            SolveDecodeRow(answer, arrived & ~(1U << (n + p)), 0);
        if (!other.has_value()) continue;
        EXPECT_LE(squares(*row, n, r), squares(*other, n, r) * 1.000001)
            << "seed=" << seed << " arrived=" << arrived;
      }
    }
  }
}

TEST(SolveDecodeRowTest, SumsNoiseGainIsK) {
  for (int k = 2; k <= 8; ++k) {
    const ArrivalMask all = (1U << (k + 1)) - 1;
    const auto row = SolveDecodeRow(Matrix(1, k, 1), all, k - 1);
    ASSERT_TRUE(row.has_value());
    EXPECT_NEAR(row->noise_gain, k, 1e-12);
  }
}

}  // namespace
}  // namespace parm
