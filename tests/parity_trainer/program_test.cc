// parm-train as a program: exit statuses, Ctrl-C, resume.

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/parity_trainer/test_data.h"
#include "tests/support/scratch_directory.h"

namespace parm {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr int kPipeBytes = 4096;

/// One run of parm-train; what it writes comes through one pipe that holds a
/// page, so that a run with more to say cannot end before it is read.
class Program {
 public:
  explicit Program(std::vector<std::string> arguments) {
    const char* const folder = std::getenv("PARM_BIN");
    PARM_CHECK(folder != nullptr);
    const std::string path = absl::StrCat(folder, "/parm-train");
    arguments.insert(arguments.begin(), path);
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    int ends[2];
    PARM_CHECK(pipe(ends) == 0);
    PARM_CHECK(fcntl(ends[1], F_SETPIPE_SZ, kPipeBytes) == kPipeBytes);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    PARM_CHECK(posix_spawn(&pid_, path.c_str(), &actions, nullptr, argv.data(),
                           environ) == 0);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    output_fd_ = ends[0];
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program() {
    if (!waited_) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    close(output_fd_);
  }

  /// Reads until the output holds `text` or ends, not a byte further; whether
  /// it does.
  bool ReadUntil(const std::string& text) {
    while (output_.find(text) == std::string::npos) {
      char byte = 0;
      if (read(output_fd_, &byte, 1) != 1) return false;
      output_.push_back(byte);
    }
    return true;
  }

  void Interrupt() const { kill(pid_, SIGINT); }

  /// Reads the rest and waits for the end.
  int ExitStatus() {
    ReadUntil(std::string(1, '\0'));
    int status = 0;
    waitpid(pid_, &status, 0);
    waited_ = true;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

  const std::string& output() const { return output_; }

 private:
  pid_t pid_ = 0;
  int output_fd_ = -1;
  bool waited_ = false;
  std::string output_;
};

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
