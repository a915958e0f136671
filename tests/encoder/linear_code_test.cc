// Linear codes of random coefficients and several parities: every erasure
// pattern, short groups, and use by many threads.

#include "encoder/linear_code.h"

#include <cmath>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/encoder/reference_schemes.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

constexpr uint32_t kSeed = 20240603;
constexpr int64_t kNumFeatures = 9;
constexpr int64_t kNumClasses = 5;

Matrix RandomMatrix(std::mt19937& random, int num_rows, int num_columns) {
  std::uniform_real_distribution<double> uniform(0.5, 2);
  Matrix matrix(num_rows, num_columns);
  for (int row = 0; row < num_rows; ++row) {
    for (int column = 0; column < num_columns; ++column) {
      matrix.at(row, column) = uniform(random);
    }
  }
  return matrix;
}

LinearCode MakeCode(const Matrix& coefficients) {
  return LinearCode({.scheme = "test",
                     .k = coefficients.num_columns(),
                     .r = coefficients.num_rows()},
                    coefficients);
}

/// A group whose parity models answer sums of outputs with `answer`.
struct Group {
  std::vector<OwnedTensor> members;
  std::vector<OwnedTensor> outputs;

  Group(std::mt19937& random, const LinearModel& model, const Matrix& answer,
        int num_members) {
    std::normal_distribution<double> normal;
    const int k = answer.num_columns();
    std::vector<std::vector<double>> values;
    for (int member = 0; member < num_members; ++member) {
      std::vector<double> inputs(2 * kNumFeatures);
      for (double& input : inputs) input = normal(random);
      members.push_back(
          OwnedTensor::Of(DataType::kFp32, {2, kNumFeatures}, inputs));
      outputs.push_back(model.Run(members.back()));
      values.push_back(outputs.back().Values());
    }
    outputs.resize(static_cast<size_t>(k));
    for (int p = 0; p < answer.num_rows(); ++p) {
      std::vector<double> sums(values[0].size());
      for (int slot = 0; slot < k; ++slot) {
        const auto& output = values[static_cast<size_t>(slot % num_members)];
        for (size_t i = 0; i < sums.size(); ++i) {
          sums[i] += answer.at(p, slot) * output[i];
        }
      }
      outputs.push_back(
          OwnedTensor::Of(DataType::kFp32, {2, kNumClasses}, sums));
    }
  }

  std::vector<std::optional<TensorView>> Arrived(ArrivalMask arrived) const {
    std::vector<std::optional<TensorView>> slots(outputs.size());
    for (size_t slot = 0; slot < slots.size(); ++slot) {
      if (((arrived >> slot) & 1U) != 0) slots[slot] = outputs[slot].View();
    }
    return slots;
  }
};

// Decodes every pattern that suffices; returns how many there were.
int ExpectEveryPatternRebuilds(const LinearCode& code, const Group& group,
                               int num_members) {
  int num_decoded = 0;
  OwnedTensor result = OwnedTensor::Zeros(DataType::kFp32, {2, kNumClasses});
  const int num_slots = code.spec().k + code.spec().r;
  for (ArrivalMask arrived = 0; arrived < 1U << num_slots; ++arrived) {
    for (int lost = 0; lost < num_members; ++lost) {
      const auto report = code.Decode(num_members, group.Arrived(arrived), lost,
                                      result.MutableView());
      EXPECT_EQ(report.ok(), code.Suffices(num_members, arrived, lost));
      if (!report.ok()) continue;
      ++num_decoded;
      const auto got = result.Values();
      const auto want = group.outputs[static_cast<size_t>(lost)].Values();
      for (size_t i = 0; i < want.size(); ++i) {
        EXPECT_NEAR(got[i], want[i], 1e-5 * report->noise_gain)
            << "arrived=" << arrived << " lost=" << lost;
      }
    }
  }
  return num_decoded;
}

TEST(LinearCodeTest, RebuildsEveryPatternOfSeveralParities) {
  std::mt19937 random(kSeed);
  const LinearModel model(kSeed, kNumFeatures, kNumClasses);
  for (int r = 1; r <= 3; ++r) {
    for (int k = 1; k <= 6; ++k) {
      const Matrix answer = RandomMatrix(random, r, k);
      const LinearCode code = MakeCode(answer);
      for (int num_members = 1; num_members <= k; ++num_members) {
        SCOPED_TRACE(testing::Message()
                     << "k=" << k << " r=" << r << " members=" << num_members);
        const Group group(random, model, answer, num_members);
        EXPECT_GT(ExpectEveryPatternRebuilds(code, group, num_members), 0);
      }
    }
  }
}

// The query itself, run through the model, is what D_F decodes with.
TEST(LinearCodeTest, LinearModelsAnswerTheirParityQueries) {
  std::mt19937 random(kSeed);
  const LinearModel model(kSeed, kNumFeatures, kNumClasses);
  const Matrix coefficients = RandomMatrix(random, 3, 5);
  const LinearCode code = MakeCode(coefficients);
  for (int num_members = 1; num_members <= 5; ++num_members) {
    Group group(random, model, coefficients, num_members);
    std::vector<TensorView> members;
    for (const OwnedTensor& member : group.members) {
      members.push_back(member.View());
    }
    for (int p = 0; p < 3; ++p) {
      OwnedTensor parity =
          OwnedTensor::Zeros(DataType::kFp32, {2, kNumFeatures});
      ASSERT_THAT(code.Encode(p, members, parity.MutableView()), IsOk());
      const auto got = model.Run(parity).Values();
      const auto want = group.outputs[static_cast<size_t>(5 + p)].Values();
      for (size_t i = 0; i < want.size(); ++i) {
        EXPECT_NEAR(got[i], want[i], 1e-4);
      }
    }
  }
}

TEST(LinearCodeTest, BytesSpanTheRangeOfTheirSum) {
  Matrix coefficients(2, 3, 1);
  coefficients.at(1, 0) = 2;
  coefficients.at(1, 1) = -0.5;
  coefficients.at(1, 2) = -1.5;
  const ByteScale mean = ByteScaleOf(coefficients, 0);
  EXPECT_TRUE(mean.is_mean);
  EXPECT_EQ(mean.span, 3);
  EXPECT_EQ(mean.zero, 0);
  // Sums in -510 .. 510.
  const ByteScale signed_sum = ByteScaleOf(coefficients, 1);
  EXPECT_FALSE(signed_sum.is_mean);
  EXPECT_EQ(signed_sum.span, 4);
  EXPECT_EQ(signed_sum.zero, 127.5);
}

TEST(LinearCodeTest, ManyThreadsMayDecodeAtOnce) {
  std::mt19937 random(kSeed);
  const LinearModel model(kSeed, kNumFeatures, kNumClasses);
  const Matrix answer = RandomMatrix(random, 2, 4);
  const LinearCode code = MakeCode(answer);
  const Group group(random, model, answer, 4);
  std::vector<int> num_decoded(4);
  std::vector<std::thread> threads;
  for (int& count : num_decoded) {
    threads.emplace_back([&code, &group, &count] {
      count = ExpectEveryPatternRebuilds(code, group, 4);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int count : num_decoded) EXPECT_EQ(count, num_decoded[0]);
}

}  // namespace
}  // namespace parm
