// The commands that set parity models beside their rivals: backup and
// frontier.

#include <filesystem>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "parity_trainer/backup_command.h"
#include "parity_trainer/frontier_command.h"
#include "proto/bundle.h"
#include "tests/parity_trainer/commands_fixture.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::HasSubstr;

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
  frontier.deployed = parity_.out;
  EXPECT_THAT(RunFrontierCommand(frontier), StatusIs(kInvalid));
}

}  // namespace
}  // namespace parm
