// What the commands refuse, and in which words.

#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "parity_trainer/deployed_command.h"
#include "parity_trainer/evaluate_command.h"
#include "parity_trainer/npy.h"
#include "parity_trainer/parity_command.h"
#include "proto/bundle.h"
#include "tests/parity_trainer/commands_fixture.h"
#include "tests/parity_trainer/test_data.h"
#include "tests/parity_trainer/torch_models.h"
#include "tests/support/matchers.h"
#include "tests/support/scratch_directory.h"

namespace parm {
namespace {

using ::testing::HasSubstr;

using RefusedCommandsTest = CommandsTest;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;

TEST_F(RefusedCommandsTest, AccuracyThatFallsShortIsAnError) {
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

TEST_F(RefusedCommandsTest, ResumeFromAnotherStartIsRefused) {
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  ASSERT_THAT(RunParityCommand(parity_), IsOk());
  ParityOptions second = parity_;
  second.out = scratch_ / "second";
  second.training.init = parity_.out;
  second.training.resume = true;
  // Ends after its checkpoint is there: a log cannot be written.
  second.training.checkpoint = scratch_ / "checkpoint";
  WriteFile(scratch_ / "file", "");
  second.training.log = scratch_ / "file/log";
  EXPECT_THAT(RunParityCommand(second),
              StatusIs(absl::StatusCode::kUnavailable));
  ASSERT_TRUE(std::filesystem::exists(scratch_ / "checkpoint"));
  second.training.log.clear();
  // Of the same name, but another.
  parity_.training.epochs = 4;
  parity_.training.force = true;
  ASSERT_THAT(RunParityCommand(parity_), IsOk());
  EXPECT_THAT(RunParityCommand(second),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("made with other settings")));
}

TEST_F(RefusedCommandsTest, BundleWithoutFittingWeightsStartsNothing) {
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

TEST_F(RefusedCommandsTest, DeployedNetworkIsNotLearnedWithoutLabels) {
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

TEST_F(RefusedCommandsTest, SampleShapeOfAnotherModelIsASentence) {
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

TEST_F(RefusedCommandsTest, FileThatIsNoModelIsASentence) {
  deployed_.model_file = scratch_ / "model.pt";
  EXPECT_THAT(RunDeployedCommand(deployed_),
              StatusIs(absl::StatusCode::kNotFound));
  WriteFile(deployed_.model_file, "no model");
  EXPECT_THAT(RunDeployedCommand(deployed_),
              StatusIs(kInvalid, HasSubstr("not a TorchScript model")));
}

TEST_F(RefusedCommandsTest, ModelForAnotherShapeIsASentence) {
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

TEST_F(RefusedCommandsTest, StaleParityIsRefused) {
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  ASSERT_THAT(RunParityCommand(parity_), IsOk());
  deployed_.training.seed = 2;
  deployed_.training.force = true;
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  EXPECT_THAT(RunEvaluateCommand(evaluate_),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("made for another deployed bundle")));
}

TEST_F(RefusedCommandsTest, RolesMustNotBeSwapped) {
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  ASSERT_THAT(RunParityCommand(parity_), IsOk());
  std::swap(evaluate_.deployed, evaluate_.parity);
  EXPECT_THAT(RunEvaluateCommand(evaluate_),
              StatusIs(kInvalid, HasSubstr("got parity, want deployed")));
  evaluate_.deployed = evaluate_.parity;
  EXPECT_THAT(RunEvaluateCommand(evaluate_),
              StatusIs(kInvalid, HasSubstr("got deployed, want parity")));
}

TEST_F(RefusedCommandsTest, SchemeAndKAreChecked) {
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

TEST_F(RefusedCommandsTest, CodeOutsideItsLimitsIsRefusedAtOnce) {
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

TEST_F(RefusedCommandsTest, EarlierWorkIsOverwrittenByForceAlone) {
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

TEST_F(RefusedCommandsTest, WhatForceMayNotReplaceShowsBeforeTraining) {
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  WriteFile(scratch_ / "letter", "dear");
  parity_.training.force = true;
  // Before the data are read.
  parity_.data.source = "idx:" + scratch_ / "nowhere";
  parity_.out = scratch_ / "letter";
  EXPECT_THAT(RunParityCommand(parity_),
              StatusIs(kInvalid, HasSubstr("letter: want a bundle there")));
  parity_.scheme = "weighted";
  parity_.r = 2;
  parity_.out = deployed_.out;
  EXPECT_THAT(
      RunParityCommand(parity_),
      StatusIs(kInvalid, HasSubstr("want a folder of bundles 0, 1 ..")));
  EXPECT_EQ(ReadFile(scratch_ / "letter"), "dear");
  EXPECT_THAT(LoadBundle(deployed_.out), IsOk());
}

TEST_F(RefusedCommandsTest, PicturesThatFitNoGridAreASentence) {
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

TEST_F(RefusedCommandsTest, UnwritableLogShowsBeforeTraining) {
  WriteFile(scratch_ / "file", "");
  deployed_.training.log = scratch_ / "file/log";
  EXPECT_THAT(RunDeployedCommand(deployed_),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_TRUE(OnlyHolds({"data", "file", "deployed.checkpoint"}));
}

TEST_F(RefusedCommandsTest, DataSmallerThanAGroupIsASentence) {
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

TEST_F(RefusedCommandsTest, DataOfAnotherShapeOrTypeAreASentence) {
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

TEST_F(RefusedCommandsTest, UnwritableOutputIsASentence) {
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

TEST_F(RefusedCommandsTest, FullDiskIsASentenceAndLeavesNothing) {
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

TEST_F(RefusedCommandsTest, OutputMustBeADirectoryName) {
  deployed_.out = "/";
  EXPECT_THAT(RunDeployedCommand(deployed_),
              StatusIs(kInvalid, HasSubstr("no directory name")));
}

}  // namespace
}  // namespace parm
