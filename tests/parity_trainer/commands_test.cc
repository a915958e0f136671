// The three commands, one after the other, on a small data set.

#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "parity_trainer/bundle_parts.h"
#include "parity_trainer/deployed_command.h"
#include "parity_trainer/evaluate_command.h"
#include "parity_trainer/npy.h"
#include "parity_trainer/parity_command.h"
#include "proto/bundle.h"
#include "proto/strict_yaml.h"
#include "tests/parity_trainer/commands_fixture.h"
#include "tests/parity_trainer/test_data.h"
#include "tests/parity_trainer/torch_models.h"
#include "tests/support/matchers.h"
#include "tests/support/scratch_directory.h"

namespace parm {
namespace {

using ::testing::FloatNear;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pointwise;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;

TEST_F(CommandsTest, BundlesCarryWhatAFrontendNeeds) {
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  ASSERT_THAT(RunParityCommand(parity_), IsOk());
  PARM_ASSERT_OK_AND_ASSIGN(const Bundle deployed, LoadBundle(deployed_.out));
  PARM_ASSERT_OK_AND_ASSIGN(const Bundle parity, LoadBundle(parity_.out));
  EXPECT_EQ(deployed.manifest.model(), "deployed");
  EXPECT_EQ(deployed.manifest.role(), "deployed");
  EXPECT_EQ(deployed.manifest.training().epochs(), 3);
  const TensorSpec input = {
      .name = "input", .datatype = DataType::kFp32, .shape = {-1, 1, 8, 8}};
  const TensorSpec output = {
      .name = "logits", .datatype = DataType::kFp32, .shape = {-1, kClasses}};
  for (const Bundle* bundle : {&deployed, &parity}) {
    EXPECT_EQ(InputSpecs(bundle->manifest), std::vector{input});
    EXPECT_EQ(OutputSpecs(bundle->manifest), std::vector{output});
    EXPECT_GT(bundle->manifest.measured().a_a(), 0.5);
    EXPECT_EQ(bundle->manifest.measured().samples(), 41);
    PARM_ASSERT_OK_AND_ASSIGN(
        const HostTensor probes,
        ReadNpy(absl::StrCat(bundle->directory, "/",
                             bundle->manifest.probes().outputs_npy()),
                1 << 20));
    EXPECT_EQ(probes.shape, (std::vector<int64_t>{8, kClasses}));
  }
  EXPECT_EQ(deployed.manifest.measured().relative_cost(), 1);
  EXPECT_EQ(parity.manifest.model(), "deployed");
  EXPECT_EQ(parity.manifest.role(), "parity");
  EXPECT_EQ(parity.manifest.lineage().deployed_sha256(), ToHex(deployed.id));
  EXPECT_EQ(parity.manifest.lineage().code().scheme(), "sum");
  EXPECT_EQ(parity.manifest.lineage().code().k(), 2U);
  EXPECT_EQ(parity.manifest.training().init(), "deployed");
  ASSERT_EQ(parity.manifest.measured().a_d_size(), 1);
  EXPECT_EQ(parity.manifest.measured().a_d(0).samples(), 41);
  EXPECT_GT(parity.manifest.measured().relative_cost(), 0);
  for (const Bundle* bundle : {&deployed, &parity}) {
    EXPECT_THAT(ReadFile(bundle->directory + "/training.jsonl"),
                HasSubstr("\n{\"epoch\":3,"));
    EXPECT_THAT(ReadFile(bundle->directory + "/training.svg"),
                HasSubstr("</svg>"));
  }
  // No checkpoint, no partial directory.
  EXPECT_TRUE(OnlyHolds({"data", "deployed", "parity"}));
}

TEST_F(CommandsTest, EvaluateRepeatsTheBundlesFigures) {
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  ASSERT_THAT(RunParityCommand(parity_), IsOk());
  ASSERT_THAT(RunEvaluateCommand(evaluate_), IsOk());
  PARM_ASSERT_OK_AND_ASSIGN(const Bundle parity, LoadBundle(parity_.out));
  const std::string json = ReadFile(evaluate_.json_file);
  EXPECT_THAT(json, HasSubstr(absl::StrCat("\"a_a\":",
                                           parity.manifest.measured().a_a())));
  EXPECT_THAT(json, HasSubstr("\"a_d\":{\"1\":"));
  EXPECT_THAT(json, HasSubstr("\"groups\":21,\"leftover\":1"));
  EXPECT_THAT(json, HasSubstr("\"reconstructions\":{\"1\":41}"));
  PARM_ASSERT_OK_AND_ASSIGN(const HostTensor logits,
                            ReadNpy(evaluate_.logits_file, 1 << 20));
  EXPECT_EQ(logits.datatype, DataType::kFp32);
  EXPECT_EQ(logits.shape, (std::vector<int64_t>{41, kClasses}));
}

TEST_F(CommandsTest, ReportTellsHowFarToTrustTheFigures) {
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  parity_.scheme = "pack";
  ASSERT_THAT(RunParityCommand(parity_), IsOk());
  ASSERT_THAT(RunEvaluateCommand(evaluate_), IsOk());
  const std::string json = ReadFile(evaluate_.json_file);
  EXPECT_THAT(json, HasSubstr("\"a_d_se\":{\"1\":"));
  EXPECT_THAT(json, HasSubstr("\"per_class\":[{\"samples\":11,\"a_a\":"));
  // What a row of the accuracy tables needs.
  EXPECT_THAT(json, HasSubstr("\"relative_cost\":"));
  EXPECT_THAT(json, HasSubstr("\"bytes\":512,\"arch\":\"mlp\",\"seed\":1,"));
  // Of 41 samples it would be noise.
  EXPECT_THAT(json, HasSubstr("\"ece\":null"));
  EXPECT_THAT(json, HasSubstr("\"risk_coverage\":[{\"coverage\":0.1,"));
  evaluate_.picture_file = scratch_ / "picture.svg";
  PARM_ASSERT_OK_AND_ASSIGN(const std::string line,
                            RunEvaluateCommand(evaluate_));
  EXPECT_THAT(line, HasSubstr(", most confident half "));
  const std::string picture = ReadFile(evaluate_.picture_file);
  EXPECT_THAT(picture, HasSubstr("most confident first"));
  // Too few samples for a table.
  EXPECT_THAT(picture, HasSubstr("as stated"));
  EXPECT_THAT(json, HasSubstr("\"reliability\":[]"));
  evaluate_.parity.clear();
  EXPECT_THAT(RunEvaluateCommand(evaluate_),
              StatusIs(kInvalid, HasSubstr("--picture needs a parity")));
}

TEST_F(CommandsTest, BundleCarriesAConfidenceTable) {
  WriteIdxData(scratch_ / "data", 200, 400);
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  ASSERT_THAT(RunParityCommand(parity_), IsOk());
  PARM_ASSERT_OK_AND_ASSIGN(const Bundle parity, LoadBundle(parity_.out));
  const bundle::Measured& measured = parity.manifest.measured();
  ASSERT_GT(measured.calibration_size(), 0);
  int64_t samples = 0;
  for (const bundle::CalibrationBin& bin : measured.calibration()) {
    samples += bin.samples();
  }
  EXPECT_EQ(samples, 200);
  EXPECT_EQ(measured.pattern_calibration_size(), 0);
  EXPECT_FALSE(measured.has_calibration_error());
  EXPECT_GE(measured.a_d(0).standard_error(), 0);
}

TEST_F(CommandsTest, EachParityCarriesTheTablesOfItsOwnPatterns) {
  WriteIdxData(scratch_ / "data", 200, 400);
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  parity_.scheme = "weighted";
  parity_.r = 2;
  ASSERT_THAT(RunParityCommand(parity_), IsOk());
  for (uint32_t parity = 0; parity < 2; ++parity) {
    PARM_ASSERT_OK_AND_ASSIGN(
        const Bundle bundle,
        LoadBundle(absl::StrCat(parity_.out, "/", parity)));
    const bundle::Measured& measured = bundle.manifest.measured();
    EXPECT_GT(measured.calibration_size(), 0);
    ASSERT_EQ(measured.pattern_calibration_size(), 2);
    const bundle::PatternCalibration& alone = measured.pattern_calibration(0);
    EXPECT_EQ(alone.losses(), 1U);
    EXPECT_THAT(alone.parities(), testing::ElementsAre(parity));
    EXPECT_GT(alone.calibration_size(), 0);
    const bundle::PatternCalibration& both = measured.pattern_calibration(1);
    EXPECT_EQ(both.losses(), 2U);
    EXPECT_THAT(both.parities(), testing::ElementsAre(0, 1));
    EXPECT_GT(both.calibration_size(), 0);
  }
}

TEST_F(CommandsTest, AccuracyThatFallsShortIsAnError) {
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  parity_.scheme = "pack";
  ASSERT_THAT(RunParityCommand(parity_), IsOk());
  PARM_ASSERT_OK_AND_ASSIGN(const Bundle pack, LoadBundle(parity_.out));
  evaluate_.require_a_d = pack.manifest.measured().a_a();
  EXPECT_THAT(RunEvaluateCommand(evaluate_), IsOk());
  // A model that always answers class 0 is right for a quarter.
  std::vector<float> weights(kClasses * kSide * kSide, 0);
  std::fill(weights.begin(), weights.begin() + kSide * kSide, 1.0F);
  WriteFile(scratch_ / "model.pt", LinearModelBytes(kClasses, weights));
  parity_.model_file = scratch_ / "model.pt";
  parity_.training.force = true;
  ASSERT_THAT(RunParityCommand(parity_), IsOk());
  EXPECT_THAT(RunEvaluateCommand(evaluate_),
              StatusIs(absl::StatusCode::kOutOfRange,
                       HasSubstr("A_d falls short: got 26.83 % at one loss")));
  EXPECT_THAT(ReadFile(evaluate_.json_file), HasSubstr("\"a_d\":{\"1\":0.26"));
  evaluate_.require_a_d = 0;
  PARM_ASSERT_OK_AND_ASSIGN(const std::string line,
                            RunEvaluateCommand(evaluate_));
  EXPECT_THAT(line, HasSubstr("\nunsuitable: "));
  evaluate_.require_a_d = 0.5;
  evaluate_.parity.clear();
  EXPECT_THAT(RunEvaluateCommand(evaluate_),
              StatusIs(kInvalid, HasSubstr("needs a parity bundle")));
}

TEST_F(CommandsTest, EvaluateWithoutParityGivesAccuracyAlone) {
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  evaluate_.parity.clear();
  ASSERT_THAT(RunEvaluateCommand(evaluate_), IsOk());
  EXPECT_THAT(ReadFile(evaluate_.json_file), HasSubstr("\"a_d\":{}"));
}

TEST_F(CommandsTest, Uint8BundlesTakeBytes) {
  deployed_.datatype = "uint8";
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  ASSERT_THAT(RunParityCommand(parity_), IsOk());
  for (const std::string& out : {deployed_.out, parity_.out}) {
    PARM_ASSERT_OK_AND_ASSIGN(const Bundle bundle, LoadBundle(out));
    EXPECT_EQ(bundle.manifest.inputs(0).datatype(), "UINT8");
  }
  EXPECT_THAT(RunEvaluateCommand(evaluate_), IsOk());
}

TEST_F(CommandsTest, PackIsTheDeployedModelAndExact) {
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  parity_.scheme = "pack";
  parity_.k = 3;
  ASSERT_THAT(RunParityCommand(parity_), IsOk());
  PARM_ASSERT_OK_AND_ASSIGN(const Bundle deployed, LoadBundle(deployed_.out));
  PARM_ASSERT_OK_AND_ASSIGN(const Bundle pack, LoadBundle(parity_.out));
  EXPECT_EQ(pack.manifest.file_sha256(), deployed.manifest.file_sha256());
  ASSERT_EQ(pack.manifest.measured().a_d_size(), 3);
  for (const bundle::DegradedAccuracy& row : pack.manifest.measured().a_d()) {
    EXPECT_EQ(row.accuracy(), pack.manifest.measured().a_a());
  }
}

TEST_F(CommandsTest, OneHeadPerMemberCoversAnyNumberOfLosses) {
  deployed_.arch = "cnn";
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  for (const char* const scheme : {"tile", "stack"}) {
    SCOPED_TRACE(scheme);
    parity_.scheme = scheme;
    parity_.k = 3;
    parity_.out = evaluate_.parity = scratch_ / scheme;
    ASSERT_THAT(RunParityCommand(parity_), IsOk());
    PARM_ASSERT_OK_AND_ASSIGN(const Bundle parity, LoadBundle(parity_.out));
    EXPECT_THAT(parity.manifest.outputs(0).shape(),
                testing::ElementsAre(3, -1, kClasses));
    EXPECT_EQ(parity.manifest.training().init(), "deployed");
    EXPECT_EQ(parity.manifest.measured().a_d_size(), 3);
    EXPECT_THAT(RunEvaluateCommand(evaluate_), IsOk());
  }
}

TEST_F(CommandsTest, RecipeOfABundleIsARecipe) {
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  WriteFile(scratch_ / "recipe.yaml",
            "epochs: 2\noptimizer: sgd\nlearning_rate: 0.02\n"
            "label_share: 0\nshift: 1\npatience: 5\n");
  parity_.training = {.recipe = scratch_ / "recipe.yaml", .minibatch = 20};
  ASSERT_THAT(RunParityCommand(parity_), IsOk());
  PARM_ASSERT_OK_AND_ASSIGN(const Bundle first, LoadBundle(parity_.out));
  const bundle::Training& training = first.manifest.training();
  EXPECT_EQ(training.epochs(), 2);
  EXPECT_EQ(training.minibatch(), 20);
  EXPECT_EQ(training.optimizer(), "sgd");
  EXPECT_EQ(training.label_share(), 0);
  EXPECT_EQ(training.shift(), 1U);

  WriteFile(scratch_ / "recipe.yaml", WriteYaml(training));
  parity_.training = {.recipe = scratch_ / "recipe.yaml"};
  parity_.out = scratch_ / "again";
  ASSERT_THAT(RunParityCommand(parity_), IsOk());
  EXPECT_TRUE(ReadFile(scratch_ / "again/model.pt") ==
              ReadFile(first.model_path));
}

TEST_F(CommandsTest, FreshAnswersMatterToAugmentedSamplesOnly) {
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  const auto model_of = [this](const std::string& recipe) {
    WriteFile(scratch_ / "recipe.yaml", "epochs: 2\nlabel_share: 0\n" + recipe);
    parity_.training = {.recipe = scratch_ / "recipe.yaml", .force = true};
    EXPECT_THAT(RunParityCommand(parity_), IsOk());
    return ReadFile(parity_.out + "/model.pt");
  };
  EXPECT_TRUE(model_of("fresh_answers: true\n") ==
              model_of("fresh_answers: false\n"));
  EXPECT_FALSE(model_of("fresh_answers: true\nshift: 1\n") ==
               model_of("fresh_answers: false\nshift: 1\n"));
}

TEST_F(CommandsTest, ParityStartsFromABundleThatIsNamed) {
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  parity_.training.epochs = 20;
  ASSERT_THAT(RunParityCommand(parity_), IsOk());
  const auto answers_of = [this](const std::string& bundle) {
    const ModelRunner runner =
        *ModelRunner::Create(ReadFile(bundle + "/model.pt"));
    const HostTensor answer =
        *runner.Run(*ReadNpy(parity_.out + "/probe_inputs.npy", 1 << 20));
    return std::vector<float>(answer.floats().begin(), answer.floats().end());
  };
  const std::vector<float> first = answers_of(parity_.out);
  // A step too small to be seen, so that the start shows in the end.
  ParityOptions second = parity_;
  second.training = {.epochs = 1, .learning_rate = 1e-12};
  second.out = scratch_ / "second";
  ASSERT_THAT(RunParityCommand(second), IsOk());
  EXPECT_THAT(answers_of(second.out), Not(Pointwise(FloatNear(1e-3F), first)));
  second.training.init = parity_.out;
  second.training.force = true;
  ASSERT_THAT(RunParityCommand(second), IsOk());
  EXPECT_THAT(answers_of(second.out), Pointwise(FloatNear(1e-3F), first));
  PARM_ASSERT_OK_AND_ASSIGN(const Bundle bundle, LoadBundle(second.out));
  EXPECT_EQ(bundle.manifest.training().init(), parity_.out);
}

TEST_F(CommandsTest, ResumeFromAnotherStartIsRefused) {
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  ASSERT_THAT(RunParityCommand(parity_), IsOk());
  ParityOptions second = parity_;
  second.out = scratch_ / "second";
  second.training.init = parity_.out;
  second.training.resume = true;
  // Trained to the end, but the bundle cannot be written: a file is there.
  second.training.checkpoint = scratch_ / "checkpoint";
  second.training.force = true;
  WriteFile(second.out, "in the way");
  EXPECT_THAT(RunParityCommand(second), StatusIs(kInvalid));
  ASSERT_TRUE(std::filesystem::exists(scratch_ / "checkpoint"));
  std::filesystem::remove(second.out);
  // Of the same name, but another.
  parity_.training.epochs = 4;
  parity_.training.force = true;
  ASSERT_THAT(RunParityCommand(parity_), IsOk());
  EXPECT_THAT(RunParityCommand(second),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("made with other settings")));
}

TEST_F(CommandsTest, HalfBundleStartsAnotherFromWhatWasTrained) {
  deployed_.arch = "cnn";
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  parity_.half = true;
  ASSERT_THAT(RunParityCommand(parity_), IsOk());
  ParityOptions second = parity_;
  second.out = scratch_ / "second";
  second.half = false;
  second.training.init = parity_.out;
  // So small a rate changes no weight.
  second.training.learning_rate = 1e-30;
  ASSERT_THAT(RunParityCommand(second), IsOk());
  PARM_ASSERT_OK_AND_ASSIGN(const Bundle half, LoadBundle(parity_.out));
  PARM_ASSERT_OK_AND_ASSIGN(const Bundle whole, LoadBundle(second.out));
  EXPECT_EQ(whole.manifest.training().init(), parity_.out);
  EXPECT_TRUE(std::filesystem::exists(parity_.out + "/trained.pt"));
  EXPECT_FALSE(std::filesystem::exists(second.out + "/trained.pt"));
  EXPECT_NEAR(half.manifest.measured().a_d(0).accuracy(),
              whole.manifest.measured().a_d(0).accuracy(), 0.1);
}

TEST_F(CommandsTest, BundleWithoutFittingWeightsStartsNothing) {
  deployed_.arch = "cnn";
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  ParityOptions second = parity_;
  parity_.scheme = "pack";
  parity_.half = true;
  ASSERT_THAT(RunParityCommand(parity_), IsOk());
  second.out = scratch_ / "second";
  second.training.init = parity_.out;
  EXPECT_THAT(RunParityCommand(second),
              StatusIs(kInvalid, HasSubstr("packed with --half has none")));
  EXPECT_TRUE(OnlyHolds({"data", "deployed", "parity"}));
}

TEST_F(CommandsTest, OwnTorchScriptFileIsDeployedAsItIs) {
  deployed_.model_file = WriteKnowingModel();
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  PARM_ASSERT_OK_AND_ASSIGN(const Bundle deployed, LoadBundle(deployed_.out));
  EXPECT_EQ(ReadFile(deployed.model_path), ReadFile(deployed_.model_file));
  EXPECT_EQ(deployed.manifest.measured().a_a(), 1);
  // Its architecture is unknown, so a parity needs to be told one.
  EXPECT_THAT(
      RunParityCommand(parity_),
      StatusIs(kInvalid, HasSubstr("want --arch with one of mlp, cnn,")));
  parity_.arch = "cnn";
  ASSERT_THAT(RunParityCommand(parity_), IsOk());
  PARM_ASSERT_OK_AND_ASSIGN(const Bundle parity, LoadBundle(parity_.out));
  EXPECT_EQ(parity.manifest.training().init(), "scratch");
}

TEST_F(CommandsTest, QueriesWithoutLabelsTrainAParity) {
  // Nothing is known but the model, then what a frontend wrote down.
  deployed_.data = {};
  deployed_.model_file = WriteKnowingModel();
  deployed_.sample_shape = {1, kSide, kSide};
  PARM_ASSERT_OK_AND_ASSIGN(std::string line, RunDeployedCommand(deployed_));
  EXPECT_THAT(line, HasSubstr("no labels: "));
  PARM_ASSERT_OK_AND_ASSIGN(const Bundle deployed, LoadBundle(deployed_.out));
  EXPECT_EQ(deployed.manifest.measured().samples(), 0);
  EXPECT_THAT(deployed.manifest.inputs(0).shape(),
              testing::ElementsAre(-1, 1, kSide, kSide));

  std::filesystem::create_directory(scratch_ / "captured");
  WriteFile(scratch_ / "captured/queries-000001.npy",
            SerializeNpy({DataType::kUint8,
                          {200, 1, kSide, kSide},
                          Pictures(200, /*seed=*/5)}));
  parity_.data.source = evaluate_.data.source =
      "queries:" + scratch_ / "captured";
  parity_.arch = "mlp";
  parity_.training.epochs = 40;
  PARM_ASSERT_OK_AND_ASSIGN(line, RunParityCommand(parity_));
  EXPECT_THAT(line, HasSubstr("right is what the deployed model answers"));
  PARM_ASSERT_OK_AND_ASSIGN(const Bundle parity, LoadBundle(parity_.out));
  const bundle::Measured& measured = parity.manifest.measured();
  EXPECT_EQ(measured.truth(), "deployed");
  EXPECT_EQ(measured.samples(), 40);
  EXPECT_EQ(measured.a_a(), 1);
  ASSERT_EQ(measured.a_d_size(), 1);
  // Far more often than by chance, one in four.
  EXPECT_GT(measured.a_d(0).accuracy(), 0.5);

  ASSERT_THAT(RunEvaluateCommand(evaluate_), IsOk());
  EXPECT_THAT(ReadFile(evaluate_.json_file),
              HasSubstr("\"truth\":\"deployed\""));
}

TEST_F(CommandsTest, DeployedNetworkIsNotLearnedWithoutLabels) {
  std::filesystem::create_directory(scratch_ / "captured");
  WriteFile(scratch_ / "captured/q.npy",
            SerializeNpy({DataType::kUint8, {8, 2}, std::string(16, 'x')}));
  deployed_.data.source = "queries:" + scratch_ / "captured";
  EXPECT_THAT(RunDeployedCommand(deployed_),
              StatusIs(kInvalid, HasSubstr("needs labels: got queries:")));
  deployed_.data = {};
  EXPECT_THAT(RunDeployedCommand(deployed_),
              StatusIs(kInvalid, HasSubstr("got both or neither")));
  deployed_.sample_shape = {1, kSide, kSide};
  EXPECT_THAT(RunDeployedCommand(deployed_),
              StatusIs(kInvalid, HasSubstr("goes with --model")));
  deployed_.data = data_;
  EXPECT_THAT(RunDeployedCommand(deployed_),
              StatusIs(kInvalid, HasSubstr("got both or neither")));
}

TEST_F(CommandsTest, SampleShapeOfAnotherModelIsASentence) {
  deployed_.data = {};
  deployed_.model_file = WriteKnowingModel();
  deployed_.sample_shape = {1, kSide, kSide + 1};
  EXPECT_THAT(
      RunDeployedCommand(deployed_),
      StatusIs(kInvalid, HasSubstr("model refuses an input of FP32[8,1,8,9]")));
  deployed_.sample_shape = {1 << 20, 1 << 20};
  EXPECT_THAT(RunDeployedCommand(deployed_),
              StatusIs(kInvalid, HasSubstr("sample shape is out of range")));
  EXPECT_TRUE(OnlyHolds({"data", "model.pt"}));
}

TEST_F(CommandsTest, FileThatIsNoModelIsASentence) {
  deployed_.model_file = scratch_ / "model.pt";
  EXPECT_THAT(RunDeployedCommand(deployed_),
              StatusIs(absl::StatusCode::kNotFound));
  WriteFile(deployed_.model_file, "no model");
  EXPECT_THAT(RunDeployedCommand(deployed_),
              StatusIs(kInvalid, HasSubstr("not a TorchScript model")));
}

TEST_F(CommandsTest, ModelForAnotherShapeIsASentence) {
  deployed_.model_file = scratch_ / "model.pt";
  WriteFile(deployed_.model_file, LinearModelBytes(2, {1, 2, 3, 4, 5, 6}));
  EXPECT_THAT(RunDeployedCommand(deployed_),
              StatusIs(kInvalid,
                       HasSubstr("model refuses an input of FP32[41,1,8,8]")));
  // It answers, but knows fewer classes than there are.
  WriteFile(deployed_.model_file,
            LinearModelBytes(2, std::vector<float>(2 * kSide * kSide, 1)));
  EXPECT_THAT(RunDeployedCommand(deployed_),
              StatusIs(kInvalid, HasSubstr("the model answers 2")));
  EXPECT_TRUE(OnlyHolds({"data", "model.pt"}));
}

TEST_F(CommandsTest, StaleParityIsRefused) {
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  ASSERT_THAT(RunParityCommand(parity_), IsOk());
  deployed_.training.seed = 2;
  deployed_.training.force = true;
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  EXPECT_THAT(RunEvaluateCommand(evaluate_),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("made for another deployed bundle")));
}

TEST_F(CommandsTest, RolesMustNotBeSwapped) {
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  ASSERT_THAT(RunParityCommand(parity_), IsOk());
  std::swap(evaluate_.deployed, evaluate_.parity);
  EXPECT_THAT(RunEvaluateCommand(evaluate_),
              StatusIs(kInvalid, HasSubstr("got parity, want deployed")));
  evaluate_.deployed = evaluate_.parity;
  EXPECT_THAT(RunEvaluateCommand(evaluate_),
              StatusIs(kInvalid, HasSubstr("got deployed, want parity")));
}

TEST_F(CommandsTest, SchemeAndKAreChecked) {
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  parity_.scheme = "xor";
  EXPECT_THAT(RunParityCommand(parity_), StatusIs(kInvalid));
  parity_.scheme = "sum";
  parity_.k = 1;
  EXPECT_THAT(RunParityCommand(parity_), StatusIs(kInvalid));
  parity_.k = 2;
  parity_.model_file = "x";
  EXPECT_THAT(RunParityCommand(parity_),
              StatusIs(kInvalid, HasSubstr("--scheme pack only")));
  parity_.model_file.clear();
  parity_.training.init = "zero";
  EXPECT_THAT(RunParityCommand(parity_),
              StatusIs(absl::StatusCode::kNotFound,
                       HasSubstr("init is zero, want deployed, scratch")));
}

TEST_F(CommandsTest, CodeOutsideItsLimitsIsRefusedAtOnce) {
  // Before anything is read: there is no deployed bundle here.
  parity_.r = 2;
  EXPECT_THAT(RunParityCommand(parity_), StatusIs(kInvalid));
  parity_.scheme = "weighted";
  parity_.k = 9;
  EXPECT_THAT(RunParityCommand(parity_),
              StatusIs(kInvalid, HasSubstr("r = 1 or 2 with k = 2..8")));
  parity_.scheme = "berrut";
  EXPECT_THAT(RunParityCommand(parity_), StatusIs(kInvalid));
}

TEST_F(CommandsTest, WeightedTrainsOneBundleForEachParity) {
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  parity_.scheme = "weighted";
  parity_.r = 2;
  ASSERT_THAT(RunParityCommand(parity_), IsOk());
  EXPECT_TRUE(OnlyHolds({"data", "deployed", "parity"}));
  std::vector<std::string> models;
  for (uint32_t parity = 0; parity < 2; ++parity) {
    PARM_ASSERT_OK_AND_ASSIGN(
        const Bundle bundle,
        LoadBundle(absl::StrCat(parity_.out, "/", parity)));
    EXPECT_EQ(bundle.manifest.lineage().parity_index(), parity);
    EXPECT_EQ(bundle.manifest.lineage().code().r(), 2U);
    ASSERT_EQ(bundle.manifest.measured().a_d_size(), 2);
    EXPECT_EQ(bundle.manifest.measured().a_d(1).losses(), 2U);
    models.push_back(ReadFile(bundle.model_path));
  }
  EXPECT_NE(models[0], models[1]);

  ASSERT_THAT(RunEvaluateCommand(evaluate_), IsOk());
  const std::string json = ReadFile(evaluate_.json_file);
  EXPECT_THAT(json, HasSubstr("\"reconstructions\":{\"1\":41,\"2\":41}"));
  EXPECT_THAT(
      json, HasSubstr("\"patterns\":[{\"losses\":1,\"parities\":[0],\"a_d\":"));
  EXPECT_THAT(json, HasSubstr("\"reconstructions\":41,\"ece\":null,"
                              "\"stated\":null,\"found\":null},"
                              "{\"losses\":1,\"parities\":[1],"));
  EXPECT_THAT(json, HasSubstr("{\"losses\":2,\"parities\":[0,1],"));
  // Two parity queries.
  EXPECT_THAT(json, HasSubstr("\"bytes\":512,"));

  evaluate_.parity = parity_.out + "/1";
  EXPECT_THAT(RunEvaluateCommand(evaluate_),
              StatusIs(kInvalid, HasSubstr("in the wrong place: got weighted "
                                           "k=2 r=2")));
  evaluate_.parity = parity_.out;
  std::filesystem::remove_all(parity_.out + "/1");
  EXPECT_THAT(RunEvaluateCommand(evaluate_),
              StatusIs(absl::StatusCode::kNotFound));
  std::filesystem::copy(parity_.out + "/0", parity_.out + "/1");
  EXPECT_THAT(RunEvaluateCommand(evaluate_),
              StatusIs(kInvalid, HasSubstr("parity 0, want weighted k=2 r=2 "
                                           "parity 1")));
}

TEST_F(CommandsTest, SecondParityIsGoneOnWithFromItsCheckpoint) {
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  parity_.scheme = "weighted";
  parity_.r = 2;
  // A folder where the second checkpoint goes: the first is trained by then.
  std::filesystem::create_directory(parity_.out + ".checkpoint.1");
  EXPECT_THAT(RunParityCommand(parity_),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_FALSE(std::filesystem::exists(parity_.out));
  EXPECT_TRUE(std::filesystem::exists(parity_.out + ".checkpoint"));
  std::filesystem::remove(parity_.out + ".checkpoint.1");
  parity_.training.resume = true;
  ASSERT_THAT(RunParityCommand(parity_), IsOk());
  EXPECT_TRUE(OnlyHolds({"data", "deployed", "parity"}));
}

TEST_F(CommandsTest, EarlierWorkIsOverwrittenByForceAlone) {
  WriteFile(deployed_.out + ".checkpoint", "an earlier run's");
  EXPECT_THAT(RunDeployedCommand(deployed_),
              StatusIs(absl::StatusCode::kAlreadyExists,
                       HasSubstr("--resume goes on from it")));
  EXPECT_EQ(ReadFile(deployed_.out + ".checkpoint"), "an earlier run's");
  deployed_.training.force = true;
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  PARM_ASSERT_OK_AND_ASSIGN(const Bundle first, LoadBundle(deployed_.out));

  deployed_.training = {.seed = 2, .epochs = 3, .minibatch = 20};
  for (const bool resume : {false, true}) {
    deployed_.training.resume = resume;
    EXPECT_THAT(RunDeployedCommand(deployed_),
                StatusIs(absl::StatusCode::kAlreadyExists,
                         HasSubstr("output is there already")));
  }
  PARM_ASSERT_OK_AND_ASSIGN(const Bundle kept, LoadBundle(deployed_.out));
  EXPECT_EQ(kept.id, first.id);
  deployed_.training.force = true;
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  PARM_ASSERT_OK_AND_ASSIGN(const Bundle second, LoadBundle(deployed_.out));
  EXPECT_NE(second.id, first.id);

  parity_.scheme = "pack";
  ASSERT_THAT(RunParityCommand(parity_), IsOk());
  EXPECT_THAT(RunParityCommand(parity_),
              StatusIs(absl::StatusCode::kAlreadyExists));
}

TEST_F(CommandsTest, PicturesThatFitNoGridAreASentence) {
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  parity_.scheme = "tile";
  parity_.k = 5;
  // Before the data are read.
  parity_.data.source = "idx:" + scratch_ / "nowhere";
  EXPECT_THAT(
      RunParityCommand(parity_),
      StatusIs(kInvalid, HasSubstr("pictures do not divide into the grid: got "
                                   "shape [-1,1,8,8], want a height that is a "
                                   "multiple of 2 and a width that is a "
                                   "multiple of 3")));
  EXPECT_TRUE(OnlyHolds({"data", "deployed"}));
}

TEST_F(CommandsTest, UnwritableLogShowsBeforeTraining) {
  WriteFile(scratch_ / "file", "");
  deployed_.training.log = scratch_ / "file/log";
  EXPECT_THAT(RunDeployedCommand(deployed_),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_TRUE(OnlyHolds({"data", "file", "deployed.checkpoint"}));
}

TEST_F(CommandsTest, DataSmallerThanAGroupIsASentence) {
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  parity_.k = 8;
  parity_.data.limit_train = 7;
  EXPECT_THAT(RunParityCommand(parity_),
              StatusIs(kInvalid, HasSubstr("smaller than a group: got 7")));
  parity_.data.limit_train = 0;
  parity_.data.limit_test = 7;
  EXPECT_THAT(RunParityCommand(parity_),
              StatusIs(kInvalid, HasSubstr("and 7 test samples")));
  parity_.scheme = "pack";
  parity_.data.limit_test = 0;
  ASSERT_THAT(RunParityCommand(parity_), IsOk());
  evaluate_.data.limit_test = 7;
  EXPECT_THAT(RunEvaluateCommand(evaluate_),
              StatusIs(kInvalid, HasSubstr("got 7 test samples")));
}

TEST_F(CommandsTest, DataOfAnotherShapeOrTypeAreASentence) {
  deployed_.datatype = "uint8";
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  std::filesystem::create_directory(scratch_ / "floats");
  WriteNpyData(scratch_ / "floats", 40, 20);
  evaluate_.parity.clear();
  evaluate_.data.source = "npy:" + scratch_ / "floats";
  EXPECT_THAT(RunEvaluateCommand(evaluate_),
              StatusIs(kInvalid, HasSubstr("got FP32 values, want UINT8")));
  deployed_.data.source = evaluate_.data.source;
  deployed_.training.force = true;
  EXPECT_THAT(RunDeployedCommand(deployed_),
              StatusIs(kInvalid, HasSubstr("cannot be sent as uint8")));
  WriteFile(scratch_ / "floats/test_x.npy",
            SerializeNpy({DataType::kUint8, {20, 2}, std::string(40, '\0')}));
  EXPECT_THAT(RunEvaluateCommand(evaluate_),
              StatusIs(kInvalid, HasSubstr("do not fit the deployed model: got "
                                           "samples of [-1,2]")));
}

TEST_F(CommandsTest, FloatDataTrainAsWell) {
  std::filesystem::create_directory(scratch_ / "floats");
  WriteNpyData(scratch_ / "floats", 200, 41);
  deployed_.data.source = parity_.data.source = "npy:" + scratch_ / "floats";
  deployed_.arch = "cnn";
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  EXPECT_THAT(RunParityCommand(parity_), IsOk());
}

TEST_F(CommandsTest, UnwritableOutputIsASentence) {
  WriteFile(scratch_ / "file", "");
  deployed_.out = scratch_ / "file/bundle";
  EXPECT_THAT(
      RunDeployedCommand(deployed_),
      StatusIs(absl::StatusCode::kUnavailable, HasSubstr("Not a directory")));
  deployed_.model_file = WriteKnowingModel();
  EXPECT_THAT(RunDeployedCommand(deployed_),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_TRUE(OnlyHolds({"data", "file", "model.pt"}));
}

TEST_F(CommandsTest, FullDiskIsASentenceAndLeavesNothing) {
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, SIG_IGN);
  const rlimit full{.rlim_cur = 1000, .rlim_max = before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &full);
  const absl::StatusOr<std::string> trained = RunDeployedCommand(deployed_);
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_THAT(trained, StatusIs(absl::StatusCode::kResourceExhausted,
                                HasSubstr("cannot write")));
  EXPECT_TRUE(OnlyHolds({"data"}));
}

TEST_F(CommandsTest, OutputMustBeADirectoryName) {
  deployed_.out = "/";
  EXPECT_THAT(RunDeployedCommand(deployed_),
              StatusIs(kInvalid, HasSubstr("no directory name")));
}

TEST_F(CommandsTest, OneThreadAndSeedGiveTheSameBytes) {
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  const std::string first = ReadFile(scratch_ / "deployed/model.pt");
  deployed_.out = scratch_ / "again";
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  EXPECT_TRUE(ReadFile(scratch_ / "again/model.pt") == first);
  deployed_.training.seed = 2;
  deployed_.training.force = true;
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  EXPECT_FALSE(ReadFile(scratch_ / "again/model.pt") == first);
}

}  // namespace
}  // namespace parm
