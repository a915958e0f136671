// What bundles say of how far their reconstructions can be trusted, where it is
// known which parity models are of use: the last one answers noise.

#include "parity_trainer/parity_evaluation.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "parity_trainer/deployed_command.h"
#include "parity_trainer/deployed_model.h"
#include "tests/parity_trainer/commands_fixture.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

using Bins = google::protobuf::RepeatedPtrField<bundle::CalibrationBin>;

// Over all bins, weighted by their samples.
double MeanOf(const Bins& bins) {
  double right = 0;
  int64_t samples = 0;
  for (const bundle::CalibrationBin& bin : bins) {
    right += bin.probability_right() * static_cast<double>(bin.samples());
    samples += bin.samples();
  }
  return right / static_cast<double>(samples);
}

class ParityEvaluationTest : public CommandsTest {
 protected:
  /// The last parity of the code answers noise, so that what uses it is right
  /// by chance; the others answer as they should.
  bundle::Measured Measure(const CodeSpec& spec, int64_t num_test) {
    WriteIdxData(scratch_ / "data", 200, num_test);
    deployed_.model_file = WriteKnowingModel();
    EXPECT_THAT(RunDeployedCommand(deployed_), IsOk());
    deployed_model_ = *LoadDeployedModel(deployed_.out);
    dataset_ = *LoadDataFor(*deployed_model_, data_, /*with_train=*/false);
    logits_ = *deployed_model_->runner.RunAll(*dataset_, dataset_->test,
                                              deployed_model_->input.datatype);
    code_ = CreateCode(spec).value();
    std::vector<const ModelRunner*> parities;
    for (int parity = 0; parity < spec.r; ++parity) {
      const bool useless = parity + 1 == spec.r;
      runners_.push_back(*ModelRunner::Create(
          useless ? ModelBytes("return torch.sin(torch.flatten(torch.to(x, 6), "
                               "1)[:, :4] * 1000.0) * 1e6")
                  : deployed_model_->model_bytes));
    }
    for (const ModelRunner& runner : runners_) parities.push_back(&runner);
    return *MeasureModels(*deployed_model_, *code_, parities, *dataset_,
                          *logits_);
  }

  /// Of bundles that say this.
  ParityFigures Evaluate(const bundle::Measured& measured) {
    ParityModel model;
    const int r = code_->spec().r;
    for (int parity = 0; parity < r; ++parity) {
      model.measured.push_back(MeasuredOfParity(measured, parity));
    }
    *model.bundle.manifest.mutable_measured() = model.measured[0];
    model.code = std::move(code_);
    model.runners = std::move(runners_);
    return *EvaluateParity(model, *deployed_model_, *dataset_, *logits_);
  }

  std::optional<DeployedModel> deployed_model_;
  std::optional<Dataset> dataset_;
  std::optional<HostTensor> logits_;
  std::unique_ptr<const Code> code_;
  std::vector<ModelRunner> runners_;
};

TEST_F(ParityEvaluationTest, TablesOfPatternsTellThemApart) {
  const bundle::Measured measured =
      Measure({.scheme = "weighted", .k = 2, .r = 2}, 400);
  ASSERT_EQ(measured.pattern_calibration_size(), 3);
  const bundle::PatternCalibration& first = measured.pattern_calibration(0);
  EXPECT_EQ(first.losses(), 1U);
  EXPECT_THAT(first.parities(), ElementsAre(0));
  EXPECT_EQ(MeanOf(first.calibration()), 1);
  const bundle::PatternCalibration& second = measured.pattern_calibration(1);
  EXPECT_EQ(second.losses(), 1U);
  EXPECT_THAT(second.parities(), ElementsAre(1));
  EXPECT_LT(MeanOf(second.calibration()), 0.5);
  const bundle::PatternCalibration& both = measured.pattern_calibration(2);
  EXPECT_EQ(both.losses(), 2U);
  EXPECT_THAT(both.parities(), ElementsAre(0, 1));
  EXPECT_LT(MeanOf(both.calibration()), 0.75);
  EXPECT_LT(MeanOf(measured.calibration()), 0.75);
  for (const auto& pattern : measured.pattern_calibration()) {
    int64_t samples = 0;
    for (const auto& bin : pattern.calibration()) samples += bin.samples();
    EXPECT_EQ(samples, 8 * 200);  // the even groups
    EXPECT_FALSE(pattern.has_calibration_error());
  }
}

TEST_F(ParityEvaluationTest, ABundleTellsOfDecodesThatUseItsAnswers) {
  const bundle::Measured measured =
      Measure({.scheme = "weighted", .k = 3, .r = 3}, 600);
  // One loss: six sets of parities beside all; two: four; three: one.
  EXPECT_EQ(measured.pattern_calibration_size(), 11);
  for (int parity = 0; parity < 3; ++parity) {
    const bundle::Measured own = MeasuredOfParity(measured, parity);
    EXPECT_EQ(own.calibration_size(), measured.calibration_size());
    EXPECT_EQ(own.a_d_size(), 3);
    ASSERT_EQ(own.pattern_calibration_size(), 7);
    for (const auto& pattern : own.pattern_calibration()) {
      EXPECT_THAT(pattern.parities(), ::testing::Contains(parity));
    }
  }
}

TEST_F(ParityEvaluationTest, CodesOfOneParityHaveOneTable) {
  EXPECT_EQ(Measure({.scheme = "weighted", .k = 2, .r = 1}, 400)
                .pattern_calibration_size(),
            0);
}

TEST_F(ParityEvaluationTest, FewSamplesHaveNoTableOfAPattern) {
  // 52 in the even groups; of two losses each is judged three times.
  const bundle::Measured measured =
      Measure({.scheme = "weighted", .k = 4, .r = 2}, 100);
  EXPECT_EQ(measured.calibration_size(), 0);
  EXPECT_EQ(measured.pattern_calibration_size(), 0);
}

TEST_F(ParityEvaluationTest, ErrorsOfPatternsComeFromTheOddGroups) {
  bundle::Measured measured =
      Measure({.scheme = "weighted", .k = 2, .r = 2}, 10'040);
  for (const auto& pattern : measured.pattern_calibration()) {
    EXPECT_LT(pattern.calibration_error(), 0.05);
    EXPECT_TRUE(pattern.has_calibration_error());
  }
  // As if parity 1 were as good as parity 0.
  *measured.mutable_pattern_calibration(1)->mutable_calibration() =
      measured.pattern_calibration(0).calibration();
  const ParityFigures figures = Evaluate(measured);
  ASSERT_THAT(figures.patterns, SizeIs(3));
  EXPECT_EQ(figures.patterns[0].calibration_error, 0);
  EXPECT_GT(figures.patterns[1].calibration_error, 0.2);
  EXPECT_EQ(figures.patterns[1].reliability[0].stated, 1);
  EXPECT_LT(figures.patterns[2].calibration_error, 0.05);
}

TEST_F(ParityEvaluationTest, BundlesOfOneTableLeavePatternsWithoutAnError) {
  bundle::Measured measured =
      Measure({.scheme = "weighted", .k = 2, .r = 2}, 400);
  measured.clear_pattern_calibration();
  const ParityFigures figures = Evaluate(measured);
  ASSERT_THAT(figures.patterns, SizeIs(3));
  for (const PatternFigures& pattern : figures.patterns) {
    EXPECT_EQ(pattern.a_d.samples, 8 * 400);
    EXPECT_EQ(pattern.calibration_error, std::nullopt);
    EXPECT_TRUE(pattern.reliability.empty());
  }
}

}  // namespace
}  // namespace parm
