// The commands that set parity models beside their rivals: backup, frontier,
// berrut.

#include <filesystem>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "parity_trainer/backup_command.h"
#include "parity_trainer/berrut_command.h"
#include "parity_trainer/frontier_command.h"
#include "proto/bundle.h"
#include "tests/parity_trainer/commands_fixture.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;

using RivalCommandsTest = CommandsTest;

TEST_F(RivalCommandsTest, BackupIsNarrowerAndCanBePacked) {
  deployed_.arch = "cnn";
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  BackupOptions backup = {.data = data_,
                          .training = {.epochs = 3, .minibatch = 20},
                          .deployed = deployed_.out,
                          .out = scratch_ / "backup"};
  for (const double fraction : {0.0, -1.0, 1.5}) {
    backup.work_fraction = fraction;
    EXPECT_THAT(RunBackupCommand(backup),
                StatusIs(kInvalid, HasSubstr("want above 0 and at most 1")));
  }
  backup.work_fraction = 0.25;
  ASSERT_THAT(RunBackupCommand(backup), IsOk());
  PARM_ASSERT_OK_AND_ASSIGN(const Bundle deployed, LoadBundle(deployed_.out));
  PARM_ASSERT_OK_AND_ASSIGN(const Bundle narrow, LoadBundle(backup.out));
  EXPECT_EQ(narrow.manifest.role(), "backup");
  EXPECT_EQ(narrow.manifest.training().width(), 0.5);
  EXPECT_EQ(narrow.manifest.training().init(), "scratch");
  EXPECT_EQ(narrow.manifest.outputs(0).shape_size(), 2);
  EXPECT_LT(std::filesystem::file_size(narrow.model_path),
            std::filesystem::file_size(deployed.model_path));

  parity_.scheme = "pack";
  parity_.model_file = narrow.model_path;
  ASSERT_THAT(RunParityCommand(parity_), IsOk());
  PARM_ASSERT_OK_AND_ASSIGN(const Bundle pack, LoadBundle(parity_.out));
  EXPECT_EQ(pack.manifest.measured().a_d(0).accuracy(),
            narrow.manifest.measured().a_d(0).accuracy());
}

TEST_F(RivalCommandsTest, BackupSaysHowFarItIsTrusted) {
  WriteIdxData(scratch_ / "data", 200, 400);
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  ASSERT_THAT(RunBackupCommand({.data = data_,
                                .training = {.epochs = 3, .minibatch = 20},
                                .deployed = deployed_.out,
                                .out = scratch_ / "backup"}),
              IsOk());
  PARM_ASSERT_OK_AND_ASSIGN(const Bundle backup,
                            LoadBundle(scratch_ / "backup"));
  const bundle::Measured& measured = backup.manifest.measured();
  ASSERT_EQ(measured.a_d_size(), 1);
  EXPECT_EQ(measured.a_d(0).samples(), 400);
  EXPECT_GT(measured.calibration_size(), 0);
  // What a frontend's policy `backup` hears in a worker's Hello.
  const wire::BundleInfo info = ToBundleInfo(backup);
  EXPECT_EQ(info.role(), wire::BACKUP);
  EXPECT_EQ(info.calibration_size(), measured.calibration_size());
}

TEST_F(RivalCommandsTest, HalfADeployedModelIsPackedUntrained) {
  deployed_.arch = "cnn";
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  PARM_ASSERT_OK_AND_ASSIGN(const Bundle deployed, LoadBundle(deployed_.out));
  parity_.scheme = "pack";
  parity_.half = true;
  ASSERT_THAT(RunParityCommand(parity_), IsOk());
  PARM_ASSERT_OK_AND_ASSIGN(const Bundle pack, LoadBundle(parity_.out));
  // Its answers are not the deployed model's own.
  EXPECT_NE(pack.manifest.file_sha256(), deployed.manifest.file_sha256());
  EXPECT_LT(std::filesystem::file_size(pack.model_path),
            std::filesystem::file_size(deployed.model_path));
  EXPECT_NEAR(pack.manifest.measured().a_d(0).accuracy(),
              deployed.manifest.measured().a_a(), 0.05);
}

TEST_F(RivalCommandsTest, FrontierComparesUnitsWithExactPacks) {
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  ASSERT_THAT(RunParityCommand(parity_), IsOk());
  FrontierOptions frontier = {.data = data_,
                              .deployed = deployed_.out,
                              .json_file = scratch_ / "frontier.json",
                              .picture_file = scratch_ / "frontier.svg"};
  EXPECT_THAT(RunFrontierCommand(frontier),
              StatusIs(kInvalid, HasSubstr("got no --parity")));
  frontier.parities = {parity_.out};
  PARM_ASSERT_OK_AND_ASSIGN(const std::string text,
                            RunFrontierCommand(frontier));
  EXPECT_THAT(text, HasSubstr("\nsum k=2 "));
  EXPECT_THAT(text, HasSubstr("\npack k=2 (deployed) "));
  const std::string json = ReadFile(frontier.json_file);
  // One query of 8 x 8 floats, and two of them side by side.
  EXPECT_THAT(json, HasSubstr("\"bytes\":256,"));
  EXPECT_THAT(json, HasSubstr("\"bytes\":512,"));
  EXPECT_THAT(json, HasSubstr("\"exact\":true"));
  EXPECT_THAT(ReadFile(frontier.picture_file), HasSubstr("pack k=2"));
  EXPECT_THAT(json, Not(HasSubstr("\"every_answer\":true")));
  frontier.training_free = {17};
  EXPECT_THAT(RunFrontierCommand(frontier), StatusIs(kInvalid));
  frontier.deployed = parity_.out;
  EXPECT_THAT(RunFrontierCommand(frontier), StatusIs(kInvalid));
}

TEST_F(RivalCommandsTest, FrontierHasTrainingFreeCodesToo) {
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  ASSERT_THAT(RunParityCommand(parity_), IsOk());
  const FrontierOptions frontier = {.data = data_,
                                    .deployed = deployed_.out,
                                    .parities = {parity_.out},
                                    .training_free = {4},
                                    .json_file = scratch_ / "frontier.json",
                                    .picture_file = scratch_ / "frontier.svg"};
  PARM_ASSERT_OK_AND_ASSIGN(const std::string text,
                            RunFrontierCommand(frontier));
  EXPECT_THAT(text, HasSubstr("\nberrut k=4, published "));
  EXPECT_THAT(text, HasSubstr("cost  1.00,  0.25 per query,     256 bytes"));
  EXPECT_THAT(ReadFile(frontier.json_file),
              HasSubstr("\"unit\":\"published\",\"scheme\":\"berrut\",\"k\":4,"
                        "\"r\":1,\"exact\":false,\"every_answer\":true,"));
  EXPECT_THAT(ReadFile(frontier.picture_file),
              HasSubstr("berrut k=4, published"));
}

TEST_F(RivalCommandsTest, BerrutFittedToALinearModelIsNearlyExact) {
  // Whatever the nodes: k of the k + 1 coded outputs determine the others.
  deployed_.model_file = WriteKnowingModel();
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  BerrutCommandOptions berrut = {.data = data_,
                                 .deployed = deployed_.out,
                                 .k = 4,
                                 .json_file = scratch_ / "berrut.json"};
  PARM_ASSERT_OK_AND_ASSIGN(const std::string text, RunBerrutCommand(berrut));
  EXPECT_THAT(text, HasSubstr("berrut k=4, 5 workers, 1 missing"));
  EXPECT_THAT(text, HasSubstr("\npublished "));
  EXPECT_THAT(text, HasSubstr("calibrated   100.00 +- 0.00 %"));
  const std::string json = ReadFile(berrut.json_file);
  EXPECT_THAT(json, HasSubstr("\"samples\":41,\"a_a\":1,"));
  EXPECT_THAT(json, HasSubstr("\"weights\":\"fitted\",\"accuracy\":1,"));
}

TEST_F(RivalCommandsTest, BerrutRefusesWhatItCannotCode) {
  deployed_.datatype = "uint8";
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  BerrutCommandOptions berrut = {.data = data_, .deployed = deployed_.out};
  EXPECT_THAT(RunBerrutCommand(berrut),
              StatusIs(kInvalid, HasSubstr("input is UINT8, want FP32")));
  for (const int stragglers : {0, 4}) {
    berrut.stragglers = stragglers;
    EXPECT_THAT(RunBerrutCommand(berrut),
                StatusIs(kInvalid, HasSubstr("want 1 to 3")));
  }
  berrut.stragglers = 1;
  berrut.k = 16;
  EXPECT_THAT(RunBerrutCommand(berrut), StatusIs(kInvalid));
  deployed_.datatype = "fp32";
  deployed_.training.force = true;
  ASSERT_THAT(RunDeployedCommand(deployed_), IsOk());
  berrut.k = 8;
  berrut.data.limit_test = 7;
  EXPECT_THAT(RunBerrutCommand(berrut),
              StatusIs(kInvalid, HasSubstr("smaller than a group")));
}

}  // namespace
}  // namespace parm
