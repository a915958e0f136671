// parm-frontend as a process that serves nothing: help, version, and the check
// of a configuration.

#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/matchers.h"
#include "tests/support/process.h"
#include "tests/support/scratch_directory.h"

namespace parm {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

constexpr char kGood[] =
    "workers: [{endpoint: \"tcp://127.0.0.1:7001\"}]\n"
    "models: [{name: m, redundancy: {policy: coded, code: {scheme: sum, k: 4}}}"
    "]\n";

class FrontendMainTest : public ::testing::Test {
 protected:
  std::unique_ptr<Process> Start(std::vector<std::string> flags) {
    flags.insert(flags.begin(), ProgramPath("parm-frontend"));
    auto process = Process::Start(flags, scratch_ / "log");
    EXPECT_THAT(process, IsOk());
    return *std::move(process);
  }

  std::unique_ptr<Process> CheckConfig(const std::string& yaml) {
    WriteFile(scratch_ / "frontend.yaml", yaml);
    return Start({"--check-config", "--config", scratch_ / "frontend.yaml"});
  }

  ScratchDirectory scratch_;
};

TEST_F(FrontendMainTest, SaysItsVersionAndItsHelp) {
  const auto version = Start({"--version"});
  EXPECT_THAT(version->WaitForLine(""),
              IsOkAndHolds(MatchesRegex("parm-frontend [0-9.]+")));
  EXPECT_THAT(version->Wait(), IsOkAndHolds(0));
  const auto help = Start({"--help"});
  EXPECT_THAT(help->WaitForLine("Example of frontend.yaml"), IsOk());
  EXPECT_THAT(help->Wait(), IsOkAndHolds(0));
}

TEST_F(FrontendMainTest, FindsAGoodConfigurationGood) {
  const auto process = CheckConfig(kGood);
  EXPECT_THAT(process->WaitForLine(""),
              IsOkAndHolds(HasSubstr("frontend.yaml: OK")));
  EXPECT_THAT(process->Wait(), IsOkAndHolds(0));
}

TEST_F(FrontendMainTest, FindsWhatWouldNotStart) {
  for (const std::string line :
       {"http: {idle_timeout: 0s}\n", "health: {probe_interval: 0ms}\n",
        "limits: {max_queries: 1000000}\n"}) {
    const auto process = CheckConfig(kGood + line);
    EXPECT_THAT(process->Wait(), IsOkAndHolds(1)) << line;
    EXPECT_THAT(process->Log(), HasSubstr("frontend.yaml:3: ")) << line;
  }
}

TEST_F(FrontendMainTest, AFileThatCannotBeReadIsASentence) {
  for (const std::string& path :
       {scratch_.path(), std::string(scratch_ / "absent.yaml")}) {
    const auto process = Start({"--config", path});
    EXPECT_THAT(process->Wait(), IsOkAndHolds(1)) << path;
    EXPECT_THAT(process->Log(), HasSubstr("parm-frontend: cannot ")) << path;
  }
}

TEST_F(FrontendMainTest, FindsACaptureThatHasNoDirectory) {
  const auto process = CheckConfig(
      "workers: [{endpoint: \"tcp://127.0.0.1:7001\"}]\n"
      "models: [{name: m, capture: {directory: missing}}]\n");
  EXPECT_THAT(process->Wait(), IsOkAndHolds(1));
  EXPECT_THAT(process->Log(), HasSubstr("frontend.yaml:2: capture directory"));
}

TEST_F(FrontendMainTest, FindsCertificatesThatAreNone) {
  WriteFile(scratch_ / "server.pem", "no certificate");
  const auto process = CheckConfig(
      std::string(kGood) +
      "http:\n  tls: {certificate_chain: server.pem, private_key: no.key}\n");
  EXPECT_THAT(process->Wait(), IsOkAndHolds(1));
  EXPECT_THAT(process->Log(),
              HasSubstr("frontend.yaml:4: private_key: cannot be read"));
}

TEST_F(FrontendMainTest, WrongCommandLineEndsWithTwo) {
  const auto unknown = Start({"--confg", "x"});
  EXPECT_THAT(unknown->Wait(), IsOkAndHolds(2));
  EXPECT_THAT(unknown->Log(), HasSubstr("--help"));
  const auto missing = Start({"--http-port", "0"});
  EXPECT_THAT(missing->Wait(), IsOkAndHolds(2));
  EXPECT_THAT(missing->Log(), HasSubstr("--config FILE is missing"));
}

}  // namespace
}  // namespace parm
