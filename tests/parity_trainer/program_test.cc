// parm-train as a program: exit statuses, Ctrl-C, resume.

#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/parity_trainer/test_data.h"
#include "tests/parity_trainer/train_program.h"
#include "tests/support/scratch_directory.h"

namespace parm {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class ProgramTest : public testing::Test {
 protected:
  ProgramTest() { WriteIdxData(scratch_.path(), 400, 40); }

  std::vector<std::string> Deployed(const std::string& out,
                                    std::vector<std::string> more = {}) const {
    std::vector<std::string> arguments = {
        "deployed",    "--data",      "idx:" + scratch_.path(),
        "--minibatch", "20",          "--epochs",
        "120",         "--threads",   "1",
        "--out",       scratch_ / out};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }

  const ScratchDirectory scratch_;
};

TEST_F(ProgramTest, HelpAndVersionSucceed) {
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{
           {"--version"}, {"--help"}, {"parity", "--help"}}) {
    Program program(arguments);
    EXPECT_EQ(program.ExitStatus(), 0);
    EXPECT_NE(program.output(), "");
  }
  Program version({"--version"});
  EXPECT_EQ(version.ExitStatus(), 0);
  EXPECT_THAT(version.output(), StartsWith("parm-train "));
}

TEST_F(ProgramTest, WrongCommandLineIsStatusTwo) {
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{
           {},
           {"parity"},
           {"deployed", "--data", "idx:x", "--out", "y", "--arch", "vit"},
           {"deployed", "--data", "idx:x", "--out", "y", "--epochs", "0"},
           {"deployed", "--data", "idx:x", "--out", "y", "--limit-test", "-1"},
           {"deployed", "--data", "idx:x", "--out", "y", "--colour"}}) {
    Program program(arguments);
    EXPECT_EQ(program.ExitStatus(), 2) << absl::StrCat(arguments.size());
  }
}

TEST_F(ProgramTest, ErrorIsStatusOneAndOneSentence) {
  Program program({"deployed", "--data", "idx:" + scratch_ / "none", "--out",
                   scratch_ / "b"});
  EXPECT_EQ(program.ExitStatus(), 1);
  EXPECT_THAT(program.output(), StartsWith("parm-train: cannot open "));
}

TEST_F(ProgramTest, InterruptedRunResumesToTheSameBytes) {
  // A line per epoch: more than the pipe holds, so that the run waits for its
  // reader and the signal comes in time.
  Program whole(Deployed("whole"));
  ASSERT_EQ(whole.ExitStatus(), 0) << whole.output();
  ASSERT_GT(whole.output().size(), 1.5 * kPipeBytes);
  Program cut(Deployed("cut"));
  ASSERT_TRUE(cut.ReadUntil("epoch 2/120"));
  cut.Interrupt();
  ASSERT_EQ(cut.ExitStatus(), 130) << cut.output();
  EXPECT_THAT(cut.output(), HasSubstr("--resume to go on"));
  EXPECT_TRUE(std::filesystem::exists(scratch_ / "cut.checkpoint"));
  EXPECT_FALSE(std::filesystem::exists(scratch_ / "cut"));

  Program other(Deployed("cut", {"--resume", "--learning-rate", "0.5"}));
  EXPECT_EQ(other.ExitStatus(), 1);
  EXPECT_THAT(other.output(), HasSubstr("made with other settings"));

  Program resumed(Deployed("cut", {"--resume"}));
  ASSERT_EQ(resumed.ExitStatus(), 0) << resumed.output();
  EXPECT_EQ(resumed.output().find("epoch 1/120"), std::string::npos);
  EXPECT_TRUE(ReadFile(scratch_ / "cut/model.pt") ==
              ReadFile(scratch_ / "whole/model.pt"));
  EXPECT_FALSE(std::filesystem::exists(scratch_ / "cut.checkpoint"));
}

}  // namespace
}  // namespace parm
