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

using ::testing::DoubleNear;
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
    const Matrix rows = WeightedCoefficients(k, r);
    for (int slot = 0; slot < k; ++slot) EXPECT_EQ(rows.at(0, slot), 1);
  }
}

TEST(WeightedCodeTest, EveryRowHasTheEnergyOfTheSum) {
  for (const auto& [k, r] : AllSizes()) {
    const Matrix rows = WeightedCoefficients(k, r);
    for (int p = 0; p < r; ++p) {
      double energy = 0;
      for (int slot = 0; slot < k; ++slot) {
        energy += rows.at(p, slot) * rows.at(p, slot);
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
    const Matrix rows = WeightedCoefficients(k, r);
    double worst = 0;
    for (int n = 1; n <= k; ++n) {
      worst = std::max(worst, WorstNoiseGain(FoldRoundRobin(rows, n)));
    }
    EXPECT_LE(worst, documented.at({k, r})) << "k=" << k << " r=" << r;
  }
}

std::vector<double> Encode(const Code& code, int parity_index,
                           const std::vector<OwnedTensor>& members) {
  std::vector<TensorView> views;
  for (const OwnedTensor& member : members) views.push_back(member.View());
  OwnedTensor parity =
      OwnedTensor::Zeros(members[0].datatype, members[0].shape);
  EXPECT_THAT(code.Encode(parity_index, views, parity.MutableView()), IsOk());
  return parity.Values();
}

// k = 2: weights 1, 1 and 0.799, -1.167.
TEST(WeightedCodeTest, EveryParityQueryHasItsOwnWeights) {
  const auto code =
      kWeightedScheme.create({.scheme = "weighted", .k = 2, .r = 2});
  const std::vector<OwnedTensor> members = {
      OwnedTensor::Of(DataType::kFp32, {1, 2}, {1, 2}),
      OwnedTensor::Of(DataType::kFp32, {1, 2}, {10, 20})};
  EXPECT_THAT(Encode(*code, 0, members), ElementsAre(11, 22));
  EXPECT_THAT(
      Encode(*code, 1, members),
      ElementsAre(DoubleNear(-10.871, 1e-5), DoubleNear(-21.742, 1e-5)));
}

TEST(WeightedCodeTest, SumsOfBytesFillTheRangeOfABytes) {
  const auto code =
      kWeightedScheme.create({.scheme = "weighted", .k = 2, .r = 2});
  const std::vector<OwnedTensor> members = {
      OwnedTensor::Of(DataType::kUint8, {1, 5}, {0, 255, 0, 255, 10}),
      OwnedTensor::Of(DataType::kUint8, {1, 5}, {255, 0, 0, 255, 20})};
  EXPECT_THAT(Encode(*code, 0, members), ElementsAre(128, 128, 0, 255, 15));
  // (0.799 a - 1.167 b + 1.167 * 255) / 1.966: the third is 151.4, the fourth
  // 103.6, the last 143.6.
  EXPECT_THAT(Encode(*code, 1, members), ElementsAre(0, 255, 151, 104, 144));
}

// Slots X0 X1 X0 X1 with weights 1 and -1.347, 1.284, 0.491, -0.545.
TEST(WeightedCodeTest, RepeatsMembersOfShortGroups) {
  const auto code =
      kWeightedScheme.create({.scheme = "weighted", .k = 4, .r = 2});
  const std::vector<OwnedTensor> floats = {
      OwnedTensor::Of(DataType::kFp32, {1, 1}, {1}),
      OwnedTensor::Of(DataType::kFp32, {1, 1}, {10})};
  EXPECT_THAT(Encode(*code, 0, floats), ElementsAre(22));
  EXPECT_THAT(Encode(*code, 1, floats), ElementsAre(DoubleNear(6.534, 1e-5)));
  // (-0.856 * 200 + 0.739 * 100 + 1.892 * 255) / 3.667 = 105.04.
  const std::vector<OwnedTensor> bytes = {
      OwnedTensor::Of(DataType::kUint8, {1, 1}, {200}),
      OwnedTensor::Of(DataType::kUint8, {1, 1}, {100})};
  EXPECT_THAT(Encode(*code, 0, bytes), ElementsAre(150));
  EXPECT_THAT(Encode(*code, 1, bytes), ElementsAre(105));
}

TEST(WeightedCodeTest, RebuildsBothMembersFromTwoParities) {
  const auto code =
      kWeightedScheme.create({.scheme = "weighted", .k = 2, .r = 2});
  const Matrix weights = WeightedCoefficients(2, 2);
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
