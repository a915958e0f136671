// The three commands, one after the other, on a small data set.

#include <filesystem>
#include <string>
#include <vector>

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
  EXPECT_EQ(parity.manifest.measured().a_d(0).samples(), 8 * 41);
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
  PARM_ASSERT_OK_AND_ASSIGN(const std::string line,
                            RunEvaluateCommand(evaluate_));
  EXPECT_THAT(line, HasSubstr("; the last 1 samples form a group with members "
                              "of another"));
  PARM_ASSERT_OK_AND_ASSIGN(const Bundle parity, LoadBundle(parity_.out));
  const std::string json = ReadFile(evaluate_.json_file);
  EXPECT_THAT(json, HasSubstr(absl::StrCat("\"a_a\":",
                                           parity.manifest.measured().a_a())));
  EXPECT_THAT(json, HasSubstr("\"a_d\":{\"1\":"));
  EXPECT_THAT(json, HasSubstr("\"groupings\":8,\"groups\":21,\"leftover\":1"));
  EXPECT_THAT(json, HasSubstr("\"reconstructions\":{\"1\":328}"));
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
  // Members of `pack` do not meet: one grouping of the 41 samples.
  EXPECT_THAT(json, HasSubstr("\"groupings\":1,"));
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
  EXPECT_EQ(samples, 8 * 200);
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

TEST_F(CommandsTest, BundlesOfAllParitiesAreReplacedTogether) {
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  parity_.scheme = "weighted";
  parity_.r = 2;
  ASSERT_THAT(RunParityCommand(parity_), IsOk());
  // Left by a code of more parities.
  std::filesystem::copy(parity_.out + "/1", parity_.out + "/2");
  parity_.training.force = true;
  ASSERT_THAT(RunParityCommand(parity_), IsOk());
  EXPECT_THAT(LoadBundle(parity_.out + "/1"), IsOk());
  EXPECT_FALSE(std::filesystem::exists(parity_.out + "/2"));
  EXPECT_TRUE(OnlyHolds({"data", "deployed", "parity"}));
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
  EXPECT_GT(measured.a_d(0).accuracy(), 0.4);

  ASSERT_THAT(RunEvaluateCommand(evaluate_), IsOk());
  EXPECT_THAT(ReadFile(evaluate_.json_file),
              HasSubstr("\"truth\":\"deployed\""));
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
  EXPECT_THAT(json, HasSubstr("\"reconstructions\":{\"1\":328,\"2\":328}"));
  EXPECT_THAT(
      json, HasSubstr("\"patterns\":[{\"losses\":1,\"parities\":[0],\"a_d\":"));
  EXPECT_THAT(json, HasSubstr("\"reconstructions\":328,\"ece\":null,"
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

TEST_F(CommandsTest, FloatDataTrainAsWell) {
  std::filesystem::create_directory(scratch_ / "floats");
  WriteNpyData(scratch_ / "floats", 200, 41);
  deployed_.data.source = parity_.data.source = "npy:" + scratch_ / "floats";
  deployed_.arch = "cnn";
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  EXPECT_THAT(RunParityCommand(parity_), IsOk());
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
