// Scheme `weighted`: its coefficients, and decodes that can be followed by eye.
// Its properties over all sizes and patterns are in code_contract_test.cc.

#include "encoder/weighted_code.h"

#include <algorithm>
#include <bit>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "encoder/code.h"
#include "encoder/decode_row.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/encoder/reference_schemes.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::ElementsAre;

std::vector<std::pair<int, int>> AllSizes() {
  std::vector<std::pair<int, int>> sizes;
  for (int r = 1; r <= 3; ++r) {
    for (int k = 2; k <= (r == 3 ? 4 : 8); ++k) sizes.emplace_back(k, r);
  }
  return sizes;
}

// Over all losses in a group and all sets of just as many parities.
double WorstNoiseGain(const Matrix& answer) {
  double worst = 0;
  const int n = answer.num_columns();
  const ArrivalMask members = (1U << n) - 1;
  for (ArrivalMask gone = 1; gone <= members; ++gone) {
    for (ArrivalMask parities = 1; parities < 1U << answer.num_rows();
         ++parities) {
      if (std::popcount(gone) != std::popcount(parities)) continue;
      for (int lost = 0; lost < n; ++lost) {
        if (((gone >> lost) & 1U) == 0) continue;
        const std::optional<DecodeRow> row =
            SolveDecodeRow(answer, (members & ~gone) | (parities << n), lost);
        EXPECT_TRUE(row.has_value()) << "gone=" << gone << " of " << n;
        if (row.has_value()) worst = std::max(worst, row->noise_gain);
      }
    }
  }
  return worst;
}

TEST(WeightedCodeTest, FirstRowIsThePlainSum) {
  for (const auto& [k, r] : AllSizes()) {
    const Matrix answer = WeightedAnswerCoefficients(k, r);
    for (int slot = 0; slot < k; ++slot) EXPECT_EQ(answer.at(0, slot), 1);
  }
}

TEST(WeightedCodeTest, EveryRowHasTheEnergyOfTheSum) {
  for (const auto& [k, r] : AllSizes()) {
    const Matrix answer = WeightedAnswerCoefficients(k, r);
    for (int p = 0; p < r; ++p) {
      double energy = 0;
      for (int slot = 0; slot < k; ++slot) {
        energy += answer.at(p, slot) * answer.at(p, slot);
      }
      EXPECT_NEAR(energy, k, 0.01 * k) << "k=" << k << " r=" << r;
    }
  }
}

// Any n of the n + r outputs of a group of n determine it, short or full.
TEST(WeightedCodeTest, WorstNoiseGainIsAsDocumented) {
  // README.md quotes these.
  const std::map<std::pair<int, int>, double> documented = {
      {{2, 1}, 2},    {{3, 1}, 3},    {{4, 1}, 4},    {{5, 1}, 5},
      {{6, 1}, 6},    {{7, 1}, 7},    {{8, 1}, 8},    {{2, 2}, 2.72},
      {{3, 2}, 5.14}, {{4, 2}, 8.55}, {{5, 2}, 12.2}, {{6, 2}, 16.6},
      {{7, 2}, 21.5}, {{8, 2}, 27.1}, {{2, 3}, 2.72}, {{3, 3}, 5.9},
      {{4, 3}, 9.92}};
  for (const auto& [k, r] : AllSizes()) {
    const Matrix answer = WeightedAnswerCoefficients(k, r);
    double worst = 0;
    for (int n = 1; n <= k; ++n) {
      worst = std::max(worst, WorstNoiseGain(FoldRoundRobin(answer, n)));
    }
    EXPECT_LE(worst, documented.at({k, r})) << "k=" << k << " r=" << r;
  }
}

TEST(WeightedCodeTest, EveryParityQueryIsTheSum) {
  const auto code =
      kWeightedScheme.create({.scheme = "weighted", .k = 2, .r = 2});
  const OwnedTensor a = OwnedTensor::Of(DataType::kFp32, {1, 2}, {1, 2});
  const OwnedTensor b = OwnedTensor::Of(DataType::kFp32, {1, 2}, {10, 20});
  for (int p = 0; p < 2; ++p) {
    OwnedTensor parity = OwnedTensor::Zeros(DataType::kFp32, {1, 2});
    ASSERT_THAT(code->Encode(p, {a.View(), b.View()}, parity.MutableView()),
                IsOk());
    EXPECT_THAT(parity.Values(), ElementsAre(11, 22));
  }
}

TEST(WeightedCodeTest, RebuildsBothMembersFromTwoParities) {
  const auto code =
      kWeightedScheme.create({.scheme = "weighted", .k = 2, .r = 2});
  const Matrix weights = WeightedAnswerCoefficients(2, 2);
  const double outputs[] = {3, -5};
  std::vector<OwnedTensor> answers;
  for (int p = 0; p < 2; ++p) {
    answers.push_back(OwnedTensor::Of(
        DataType::kFp32, {1, 1},
        {weights.at(p, 0) * outputs[0] + weights.at(p, 1) * outputs[1]}));
  }
  OwnedTensor result = OwnedTensor::Zeros(DataType::kFp32, {1, 1});
  for (int lost = 0; lost < 2; ++lost) {
    ASSERT_THAT(code->Decode(2,
                             {std::nullopt, std::nullopt, answers[0].View(),
                              answers[1].View()},
                             lost, result.MutableView()),
                IsOk());
    EXPECT_NEAR(result.Values()[0], outputs[lost], 1e-5);
  }
}

}  // namespace
}  // namespace parm
