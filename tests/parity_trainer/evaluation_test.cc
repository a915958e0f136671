#include "parity_trainer/evaluation.h"

#include <bit>
#include <cmath>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/parity_trainer/test_data.h"
#include "tests/parity_trainer/torch_models.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::_;
using ::testing::Each;
using ::testing::Pair;
using ::testing::SizeIs;

constexpr uint64_t kSeed = 11;

/// Weights that are small integers: sums of pixels times these are exact in
/// FP32, so that an ideal reconstruction equals the exact answer bit by bit.
std::vector<float> IntegerWeights(int factor = 1) {
  std::mt19937_64 random(kSeed);
  std::vector<float> weights(kClasses * kSide * kSide);
  for (float& weight : weights) {
    weight = static_cast<float>(factor * (static_cast<int>(random() % 7) - 3));
  }
  return weights;
}

struct Setting {
  Dataset data;
  ModelRunner deployed;
  HostTensor logits;
};

/// Weights that see which rows are bright, and so get every label right.
std::vector<float> KnowingWeights() {
  std::vector<float> weights(kClasses * kSide * kSide);
  for (size_t i = 0; i < weights.size(); ++i) {
    const size_t label = i / (kSide * kSide);
    weights[i] = i % (kSide * kSide) / kSide / 2 == label ? 1 : 0;
  }
  return weights;
}

/// A linear model and labels, of which it gets about half right with those
/// weights.
Setting MakeSetting(int64_t count, DataType datatype,
                    const std::vector<float>& weights = IntegerWeights()) {
  Dataset data{.datatype = DataType::kUint8,
               .sample_shape = {1, kSide, kSide},
               .num_classes = kClasses};
  data.test.values = Pictures(count, kSeed);
  for (const char label : Labels(count)) data.test.labels.push_back(label);
  ModelRunner deployed =
      *ModelRunner::Create(LinearModelBytes(kClasses, weights));
  HostTensor logits = *deployed.RunAll(data, data.test, datatype);
  return {std::move(data), std::move(deployed), std::move(logits)};
}

std::unique_ptr<const Code> MakeCode(const std::string& scheme, int k) {
  return *CreateCode({.scheme = scheme, .k = k, .r = 1});
}

TEST(EvaluationTest, AccuracyCountsGreatestLogits) {
  const float values[] = {1, 2, 3, 1, 0, 0, 5, 5};
  HostTensor logits{.datatype = DataType::kFp32, .shape = {4, 2}};
  logits.bytes.assign(reinterpret_cast<const char*>(values), sizeof(values));
  EXPECT_EQ(Accuracy(logits, {1, 0, 1, 1}), 0.5);
  EXPECT_EQ(Accuracy(logits, {0, 1, 1, 1}), 0.0);
}

TEST(EvaluationTest, IdealParityIsAsGoodAsTheDeployedModel) {
  for (const int k : {2, 3, 4, 8}) {
    for (const int64_t count : {1000, 1001, 1007}) {
      SCOPED_TRACE(absl::StrCat("k=", k, " count=", count, " seed=", kSeed));
      const Setting setting = MakeSetting(count, DataType::kFp32);
      PARM_ASSERT_OK_AND_ASSIGN(
          const ErasureResult result,
          EvaluateErasures(*MakeCode("sum", k), {&setting.deployed},
                           setting.data, DataType::kFp32, setting.logits));
      ASSERT_THAT(result.a_d, SizeIs(1));
      EXPECT_EQ(result.a_d[0].losses, 1);
      // Each sample is lost exactly once in each grouping.
      EXPECT_EQ(result.groupings, 8);
      EXPECT_EQ(result.a_d[0].samples, 8 * count);
      EXPECT_EQ(result.groups, (count + k - 1) / k);
      EXPECT_EQ(result.leftover, count % k);
      const double a_a = Accuracy(setting.logits, setting.data.test.labels);
      EXPECT_EQ(result.a_d[0].accuracy, a_a);
      EXPECT_GT(a_a, 0.05);
      EXPECT_LT(a_a, 0.95);
    }
  }
}

TEST(EvaluationTest, EverySampleIsJudgedOncePerGroupingAtOneLoss) {
  const Setting setting = MakeSetting(41, DataType::kFp32);
  struct Case {
    const char* scheme;
    int groupings;
  };
  // Who shares a group is nothing to a member of `pack`.
  for (const auto& [scheme, groupings] : {Case{"sum", 8}, Case{"pack", 1}}) {
    SCOPED_TRACE(scheme);
    const auto code = MakeCode(scheme, 3);
    PARM_ASSERT_OK_AND_ASSIGN(
        const ErasureResult result,
        EvaluateErasures(*code, {&setting.deployed}, setting.data,
                         DataType::kFp32, setting.logits));
    EXPECT_EQ(result.groupings, groupings);
    const auto times = static_cast<size_t>(groupings);
    ASSERT_THAT(result.decodes, SizeIs(times * 41));
    double right = 0;
    std::map<int64_t, int> judged;
    for (const JudgedDecode& decode : result.decodes) {
      right += decode.right ? 1 : 0;
      ++judged[decode.sample];
      EXPECT_GE(decode.margin, 0);
    }
    EXPECT_THAT(judged, SizeIs(41));
    EXPECT_THAT(judged, Each(Pair(_, groupings)));
    EXPECT_DOUBLE_EQ(right / (groupings * 41), result.a_d[0].accuracy);
    // Groups of three: 14, of which the last holds two samples.
    EXPECT_THAT(HalfOf(result.decodes, /*odd=*/false), SizeIs(times * 21));
    EXPECT_THAT(HalfOf(result.decodes, /*odd=*/true), SizeIs(times * 20));
  }
}

TEST(EvaluationTest, HalvesOfTheDecodesShareNoSample) {
  const Setting setting = MakeSetting(101, DataType::kFp32);
  PARM_ASSERT_OK_AND_ASSIGN(
      const ErasureResult result,
      EvaluateErasures(*MakeCode("sum", 4), {&setting.deployed}, setting.data,
                       DataType::kFp32, setting.logits));
  std::set<int64_t> even;
  for (const JudgedDecode& decode : HalfOf(result.decodes, /*odd=*/false)) {
    even.insert(decode.sample);
  }
  for (const JudgedDecode& decode : HalfOf(result.decodes, /*odd=*/true)) {
    EXPECT_FALSE(even.contains(decode.sample)) << decode.sample;
  }
}

TEST(EvaluationTest, AccuracyIsTheMeanOverGroupings) {
  // Noise that depends on all members: whether a sample is right is chance in
  // each of its groups.
  const Setting setting = MakeSetting(60, DataType::kFp32, KnowingWeights());
  PARM_ASSERT_OK_AND_ASSIGN(
      const ModelRunner parity,
      ModelRunner::Create(ModelBytes(
          "return torch.sin(torch.flatten(torch.to(x, 6), 1)[:, :4] * 1000.0) "
          "* 1e6")));
  PARM_ASSERT_OK_AND_ASSIGN(
      const ErasureResult result,
      EvaluateErasures(*MakeCode("sum", 2), {&parity}, setting.data,
                       DataType::kFp32, setting.logits));
  std::map<int64_t, int> right;  // by sample
  for (const JudgedDecode& decode : result.decodes) {
    right[decode.sample] += decode.right ? 1 : 0;
  }
  double sum = 0;
  int64_t between = 0;  // samples that are right in some groups alone
  for (const auto& [sample, count] : right) {
    sum += count / 8.0;
    if (count > 0 && count < 8) ++between;
  }
  EXPECT_GT(between, 0);
  const double a_d = sum / 60;
  EXPECT_DOUBLE_EQ(result.a_d[0].accuracy, a_d);
}

TEST(EvaluationTest, StandardErrorIsHowFarTestSetsLieApart) {
  // Each group is right or wrong as a whole, by the digits of its sum: what a
  // parity model that fails on some sums does to all members.
  PARM_ASSERT_OK_AND_ASSIGN(
      const ModelRunner parity,
      ModelRunner::Create(ModelBytes(
          "s = torch.sin(torch.sum(torch.flatten(torch.to(x, 6), 1), 1) * "
          "1000.0)\n    return torch.stack([s, -s, s * 0, s * 0], 1) * 1e9")));
  constexpr int kSets = 60;
  double sum = 0;
  double squares = 0;
  double stated_squares = 0;
  Setting setting = MakeSetting(512, DataType::kFp32);
  setting.data.test.labels.assign(512, 0);
  for (int set = 0; set < kSets; ++set) {
    setting.data.test.values =
        Pictures(512, kSeed + static_cast<uint64_t>(set));
    PARM_ASSERT_OK_AND_ASSIGN(
        const ErasureResult result,
        EvaluateErasures(*MakeCode("sum", 4), {&parity}, setting.data,
                         DataType::kFp32, setting.logits));
    const DegradedAccuracy& a_d = result.a_d[0];
    sum += a_d.accuracy;
    squares += a_d.accuracy * a_d.accuracy;
    stated_squares += a_d.standard_error * a_d.standard_error;
  }
  const double mean = sum / kSets;
  EXPECT_NEAR(mean, 0.5, 0.01);
  // Of 8 x 128 independent groups, whatever the number of samples.
  const double expected = 0.5 / std::sqrt(8 * 128);
  const double found = std::sqrt(squares / kSets - mean * mean);
  EXPECT_NEAR(found, expected, 0.3 * expected);
  const double stated = std::sqrt(stated_squares / kSets);
  EXPECT_NEAR(stated, expected, 0.1 * expected);
}

TEST(EvaluationTest, StandardErrorOfAnIdealParityIsThatOfItsSamples) {
  // Each sample is right in all of its groups or in none, by chance: eight
  // groupings tell no more than one.
  Setting setting = MakeSetting(4000, DataType::kFp32);
  setting.data.test.labels = AnsweredClasses(setting.logits);
  std::mt19937_64 random(kSeed);
  for (int32_t& label : setting.data.test.labels) {
    if (random() % 2 == 0) label = (label + 1) % kClasses;
  }
  PARM_ASSERT_OK_AND_ASSIGN(
      const ErasureResult result,
      EvaluateErasures(*MakeCode("sum", 4), {&setting.deployed}, setting.data,
                       DataType::kFp32, setting.logits));
  const double expected = 0.5 / std::sqrt(4000);
  // From fifty blocks, a tenth of it is noise.
  EXPECT_NEAR(result.a_d[0].standard_error, expected, 0.25 * expected);
}

TEST(EvaluationTest, StandardErrorOfThreeBlocksByHand) {
  Setting setting = MakeSetting(5, DataType::kFp32);
  setting.data.test.labels = AnsweredClasses(setting.logits);
  for (const size_t wrong : {size_t{3}, size_t{4}}) {
    int32_t& label = setting.data.test.labels[wrong];
    label = (label + 1) % kClasses;
  }
  PARM_ASSERT_OK_AND_ASSIGN(
      const ErasureResult result,
      EvaluateErasures(*MakeCode("sum", 2), {&setting.deployed}, setting.data,
                       DataType::kFp32, setting.logits));
  // Right: 2 of 2, 1 of 2, 0 of 1; surplus over 3/5: 0.8, -0.2, -0.6.
  EXPECT_DOUBLE_EQ(result.a_d[0].accuracy, 0.6);
  EXPECT_NEAR(result.a_d[0].standard_error, std::sqrt(1.04 * 3 / 2) / 5, 1e-12);
}

TEST(EvaluationTest, OneGroupTellsNothingOfTheSpread) {
  const Setting setting = MakeSetting(2, DataType::kFp32);
  PARM_ASSERT_OK_AND_ASSIGN(
      const ErasureResult result,
      EvaluateErasures(*MakeCode("sum", 2), {&setting.deployed}, setting.data,
                       DataType::kFp32, setting.logits));
  EXPECT_EQ(result.a_d[0].standard_error, 0.5);
}

TEST(EvaluationTest, RoundedMeanIsNearlyAsGood) {
  // On bytes the parity query is the mean, so the ideal model is k times the
  // deployed one; the rounding costs a little.
  const Setting setting = MakeSetting(1000, DataType::kUint8);
  PARM_ASSERT_OK_AND_ASSIGN(
      const ModelRunner parity,
      ModelRunner::Create(LinearModelBytes(kClasses, IntegerWeights(2))));
  PARM_ASSERT_OK_AND_ASSIGN(
      const ErasureResult result,
      EvaluateErasures(*MakeCode("sum", 2), {&parity}, setting.data,
                       DataType::kUint8, setting.logits));
  EXPECT_NEAR(result.a_d[0].accuracy,
              Accuracy(setting.logits, setting.data.test.labels), 0.05);
}

TEST(EvaluationTest, UselessParityShowsInTheFigure) {
  const Setting setting = MakeSetting(1000, DataType::kFp32);
  PARM_ASSERT_OK_AND_ASSIGN(
      const ModelRunner parity,
      ModelRunner::Create(
          ModelBytes("return torch.flatten(torch.to(x, 6), 1)[:, :4] * 0 + "
                     "torch.tensor([1e9, 0.0, 0.0, 0.0])")));
  PARM_ASSERT_OK_AND_ASSIGN(
      const ErasureResult result,
      EvaluateErasures(*MakeCode("sum", 2), {&parity}, setting.data,
                       DataType::kFp32, setting.logits));
  // Every reconstruction says class 0, which a quarter of the samples are.
  EXPECT_EQ(result.a_d[0].accuracy, 0.25);
}

TEST(EvaluationTest, PackOfTheDeployedModelIsExactForAnyLoss) {
  const Setting setting = MakeSetting(1001, DataType::kFp32);
  PARM_ASSERT_OK_AND_ASSIGN(
      const ErasureResult result,
      EvaluateErasures(*MakeCode("pack", 3), {&setting.deployed}, setting.data,
                       DataType::kFp32, setting.logits));
  ASSERT_THAT(result.a_d, SizeIs(3));
  for (int losses = 1; losses <= 3; ++losses) {
    const DegradedAccuracy& row = result.a_d[static_cast<size_t>(losses) - 1];
    EXPECT_EQ(row.losses, losses);
    EXPECT_EQ(row.samples, 1001);
    EXPECT_EQ(row.accuracy, Accuracy(setting.logits, setting.data.test.labels));
  }
}

TEST(EvaluationTest, EveryPatternOfParitiesThatSufficesIsJudged) {
  const Setting setting = MakeSetting(1001, DataType::kFp32);
  const ModelRunner* const deployed = &setting.deployed;
  PARM_ASSERT_OK_AND_ASSIGN(const auto code,
                            CreateCode({.scheme = "weighted", .k = 4, .r = 3}));
  PARM_ASSERT_OK_AND_ASSIGN(
      const ErasureResult result,
      EvaluateErasures(*code, {deployed, deployed, deployed}, setting.data,
                       DataType::kFp32, setting.logits));
  ASSERT_THAT(result.a_d, SizeIs(3));
  EXPECT_THAT(result.decodes, SizeIs(8 * 1001));
  // One loss: six sets of parities beside all; two: four; three: all.
  ASSERT_THAT(result.patterns, SizeIs(11));
  const double a_a = Accuracy(setting.logits, setting.data.test.labels);
  const int64_t times_lost[] = {1, 3, 3};  // a sample, by losses
  for (const PatternResult& pattern : result.patterns) {
    SCOPED_TRACE(absl::StrCat(pattern.pattern.losses, " losses, parities ",
                              pattern.pattern.parities));
    EXPECT_GE(std::popcount(pattern.pattern.parities), pattern.pattern.losses);
    EXPECT_FALSE(pattern.pattern == UsualPattern(3));
    EXPECT_EQ(pattern.a_d.losses, pattern.pattern.losses);
    EXPECT_EQ(pattern.a_d.samples,
              8 * 1001 * times_lost[pattern.pattern.losses - 1]);
    EXPECT_EQ(static_cast<int64_t>(pattern.decodes.size()),
              pattern.a_d.samples);
    // A linear model is its own parity model, but for rounding.
    EXPECT_NEAR(pattern.a_d.accuracy, a_a, 0.01);
  }
}

TEST(EvaluationTest, PatternsTellWhichParityIsUseless) {
  const Setting setting = MakeSetting(1000, DataType::kFp32, KnowingWeights());
  PARM_ASSERT_OK_AND_ASSIGN(
      const ModelRunner useless,
      ModelRunner::Create(
          ModelBytes("return torch.flatten(torch.to(x, 6), 1)[:, :4] * 0 + "
                     "torch.tensor([1e9, 0.0, 0.0, 0.0])")));
  PARM_ASSERT_OK_AND_ASSIGN(const auto code,
                            CreateCode({.scheme = "weighted", .k = 2, .r = 2}));
  PARM_ASSERT_OK_AND_ASSIGN(
      const ErasureResult result,
      EvaluateErasures(*code, {&setting.deployed, &useless}, setting.data,
                       DataType::kFp32, setting.logits));
  ASSERT_THAT(result.patterns, SizeIs(3));
  EXPECT_EQ(result.patterns[0].pattern,
            (DecodePattern{.losses = 1, .parities = 0b01}));
  EXPECT_EQ(result.patterns[1].pattern,
            (DecodePattern{.losses = 1, .parities = 0b10}));
  EXPECT_EQ(result.patterns[2].pattern,
            (DecodePattern{.losses = 2, .parities = 0b11}));
  EXPECT_EQ(result.patterns[0].a_d.accuracy, 1);
  // All that have coefficient 0.799 are said to be of class 0.
  EXPECT_LE(result.patterns[1].a_d.accuracy, 0.75);
}

TEST(EvaluationTest, WrongParityShapeIsInvalid) {
  const Setting setting = MakeSetting(100, DataType::kFp32);
  PARM_ASSERT_OK_AND_ASSIGN(
      const ModelRunner parity,
      ModelRunner::Create(ModelBytes("return torch.flatten(x, 1)")));
  EXPECT_THAT(EvaluateErasures(*MakeCode("sum", 2), {&parity}, setting.data,
                               DataType::kFp32, setting.logits)
                  .status(),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(EvaluationTest, NanFromTheParityModelIsDataLoss) {
  const Setting setting = MakeSetting(100, DataType::kFp32);
  PARM_ASSERT_OK_AND_ASSIGN(
      const ModelRunner parity,
      ModelRunner::Create(
          ModelBytes("return torch.log(torch.flatten(x, 1)[:, :4] - 1000)")));
  EXPECT_THAT(EvaluateErasures(*MakeCode("sum", 2), {&parity}, setting.data,
                               DataType::kFp32, setting.logits)
                  .status(),
              StatusIs(absl::StatusCode::kDataLoss));
}

}  // namespace
}  // namespace parm
