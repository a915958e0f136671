// The calibrated decoder: exact where an exact one exists, better than
// interpolation where none does, and what it refuses.

#include "encoder/ridge_decoder.h"

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "encoder/berrut_code.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

constexpr uint32_t kSeed = 20240608;
constexpr int kNumFeatures = 12;

using Outputs = std::vector<std::vector<float>>;

/// Groups of random members through a code and a model with one hidden layer
/// of tanh, whose slope says how far from linear it is.
struct Calibration {
  Outputs coded;
  Outputs members;

  Calibration(std::mt19937& random, const BerrutCode& code, double slope) {
    std::normal_distribution<double> normal;
    const int k = code.options().k;
    std::vector<std::vector<double>> inputs(static_cast<size_t>(k));
    for (auto& input : inputs) {
      for (int i = 0; i < kNumFeatures; ++i) input.push_back(normal(random));
      members.push_back(Model(input, slope));
    }
    for (int worker = 0; worker < code.options().num_workers; ++worker) {
      std::vector<double> query(kNumFeatures);
      for (int j = 0; j < k; ++j) {
        for (size_t i = 0; i < query.size(); ++i) {
          query[i] += code.encode_matrix().at(worker, j) *
                      inputs[static_cast<size_t>(j)][i];
        }
      }
      coded.push_back(Model(query, slope));
    }
  }

  static std::vector<float> Model(const std::vector<double>& input,
                                  double slope) {
    std::mt19937 fixed(kSeed);
    std::normal_distribution<double> normal;
    std::vector<float> output;
    for (int c = 0; c < 5; ++c) {
      double sum = 0;
      for (double value : input) sum += normal(fixed) * value;
      output.push_back(static_cast<float>(std::tanh(slope * sum) / slope));
    }
    return output;
  }
};

double SquaredError(const Matrix& decode, const Calibration& group) {
  double error = 0;
  for (size_t j = 0; j < group.members.size(); ++j) {
    for (size_t v = 0; v < group.members[j].size(); ++v) {
      double got = 0;
      for (size_t i = 0; i < group.coded.size(); ++i) {
        got += decode.at(static_cast<int>(j), static_cast<int>(i)) *
               double{group.coded[i][v]};
      }
      error += std::pow(got - double{group.members[j][v]}, 2);
    }
  }
  return error;
}

// With F linear and all k answers of a square pattern, D G = I.
TEST(RidgeDecoderTest, FindsTheInverseOfALinearModel) {
  std::mt19937 random(kSeed);
  PARM_ASSERT_OK_AND_ASSIGN(const BerrutCode code,
                            BerrutCode::Create({.k = 3, .num_workers = 4}));
  RidgeDecoder decoder(3, 4);
  for (int i = 0; i < 200; ++i) {
    const Calibration group(random, code, /*slope=*/1e-4);
    ASSERT_THAT(decoder.Add(group.coded, group.members), IsOk());
  }
  EXPECT_EQ(decoder.num_values(), 200 * 5);
  for (WorkerMask mask : {0b1110U, 0b1101U, 0b1011U, 0b0111U}) {
    PARM_ASSERT_OK_AND_ASSIGN(const Matrix decode, decoder.Fit(mask, 0));
    for (double leak : LinearLeak(decode, code.encode_matrix())) {
      EXPECT_LT(leak, 1e-3) << mask;
    }
  }
}

TEST(RidgeDecoderTest, BeatsInterpolationOnGroupsNotSeen) {
  std::mt19937 random(kSeed);
  PARM_ASSERT_OK_AND_ASSIGN(const BerrutCode code,
                            BerrutCode::Create({.k = 8, .num_workers = 9}));
  RidgeDecoder decoder(8, 9);
  for (int i = 0; i < 500; ++i) {
    const Calibration group(random, code, /*slope=*/0.5);
    ASSERT_THAT(decoder.Add(group.coded, group.members), IsOk());
  }
  for (int late = 0; late < 9; ++late) {
    const WorkerMask mask = 0x1FFU & ~(1U << late);
    PARM_ASSERT_OK_AND_ASSIGN(const Matrix fitted, decoder.Fit(mask, 1e-3));
    PARM_ASSERT_OK_AND_ASSIGN(const Matrix published, code.DecodeMatrix(mask));
    double fitted_error = 0;
    double published_error = 0;
    for (int i = 0; i < 100; ++i) {
      const Calibration group(random, code, /*slope=*/0.5);
      fitted_error += SquaredError(fitted, group);
      published_error += SquaredError(published, group);
    }
    EXPECT_LT(fitted_error, 0.9 * published_error) << "late=" << late;
  }
}

TEST(RidgeDecoderTest, RidgeShrinksAndLeavesMissingWorkersOut) {
  std::mt19937 random(kSeed);
  PARM_ASSERT_OK_AND_ASSIGN(const BerrutCode code,
                            BerrutCode::Create({.k = 4, .num_workers = 6}));
  RidgeDecoder decoder(4, 6);
  for (int i = 0; i < 100; ++i) {
    const Calibration group(random, code, /*slope=*/0.5);
    ASSERT_THAT(decoder.Add(group.coded, group.members), IsOk());
  }
  double last = std::numeric_limits<double>::infinity();
  for (double ridge : {0.0, 1e-3, 1e-1, 10.0}) {
    PARM_ASSERT_OK_AND_ASSIGN(const Matrix decode,
                              decoder.Fit(0b101111, ridge));
    for (int row = 0; row < 4; ++row) EXPECT_EQ(decode.at(row, 4), 0);
    double energy = 0;
    for (int row = 0; row < 4; ++row) {
      for (int worker = 0; worker < 6; ++worker) {
        energy += decode.at(row, worker) * decode.at(row, worker);
      }
    }
    EXPECT_LT(energy, last);
    last = energy;
  }
}

TEST(RidgeDecoderTest, RefusesPairsThatDoNotFit) {
  const auto invalid = StatusIs(absl::StatusCode::kInvalidArgument);
  const std::vector<float> good = {1, 2};
  const std::vector<float> shorter = {1};
  const std::vector<float> bad = {1, std::numeric_limits<float>::infinity()};
  RidgeDecoder decoder(1, 2);
  EXPECT_THAT(decoder.Add(Outputs{good}, Outputs{good}), invalid);
  EXPECT_THAT(decoder.Add(Outputs{}, Outputs{}), invalid);
  EXPECT_THAT(decoder.Add(Outputs{good, good}, Outputs{good, good}), invalid);
  EXPECT_THAT(decoder.Add(Outputs{good, shorter}, Outputs{good}), invalid);
  EXPECT_THAT(decoder.Add(Outputs{good, good}, Outputs{shorter}), invalid);
  EXPECT_THAT(decoder.Add(Outputs{good, bad}, Outputs{good}), invalid);
  EXPECT_THAT(decoder.Add(Outputs{good, good}, Outputs{bad}), invalid);
  EXPECT_EQ(decoder.num_values(), 0);
}

TEST(RidgeDecoderTest, RefusesWhatCannotBeFitted) {
  const auto unmet = StatusIs(absl::StatusCode::kFailedPrecondition);
  const auto invalid = StatusIs(absl::StatusCode::kInvalidArgument);
  RidgeDecoder decoder(1, 2);
  EXPECT_THAT(decoder.Fit(0b11, 0.1), unmet);
  ASSERT_THAT(decoder.Add(Outputs{{1}, {1}}, Outputs{{1}}), IsOk());
  EXPECT_THAT(decoder.Fit(0, 0.1), unmet);
  // Two workers that always answer alike.
  EXPECT_THAT(decoder.Fit(0b11, 0), unmet);
  EXPECT_THAT(decoder.Fit(0b11, 0.1), IsOk());
  EXPECT_THAT(decoder.Fit(0b11, -1), invalid);
  EXPECT_THAT(decoder.Fit(0b11, std::nan("")), invalid);
  EXPECT_THAT(decoder.Fit(0b11, std::numeric_limits<double>::infinity()),
              invalid);
}

}  // namespace
}  // namespace parm
