// The worker as a process: command line, ready line, signals, and what it says
// when it cannot start.

#include "backends/worker_main.h"

#include <csignal>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/strip.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/backends/raw_frontend.h"
#include "tests/support/linear_model.h"
#include "tests/support/matchers.h"
#include "tests/support/process.h"
#include "tests/support/raw_http_client.h"
#include "tests/support/scratch_directory.h"

namespace parm {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::vector<float> kSample = {4, 3, 2, 1};

class WorkerMainTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto bundle = WriteLinearBundle(scratch_ / "bundle", {.sample_shape = {4}});
    ASSERT_THAT(bundle, IsOk());
    bundle_ = *std::move(bundle);
  }

  // Writes worker.yaml around this bundle entry; returns its path.
  std::string WriteConfig(const std::string& bundle_entry,
                          const std::string& more = "") {
    const std::string path = scratch_ / "worker.yaml";
    WriteFile(path, "id: w1\nbind: \"tcp://127.0.0.1:0\"\nbundles: [" +
                        bundle_entry + "]\n" + more);
    return path;
  }

  std::unique_ptr<Process> Start(std::vector<std::string> flags) {
    flags.insert(flags.begin(), ProgramPath("parm-test-worker"));
    auto process = Process::Start(
        flags, scratch_ / ("log" + std::to_string(num_started_++)));
    EXPECT_THAT(process, IsOk());
    return *std::move(process);
  }

  // The next line of its standard output; empty if there is none.
  static std::string ReadLine(Process& process) {
    return process.WaitForLine("").value_or("");
  }

  // The address of the ready line; empty if it is not one.
  static std::string ReadEndpoint(Process& worker) {
    const std::string line = ReadLine(worker);
    absl::string_view endpoint = line;
    if (!absl::ConsumePrefix(&endpoint, "parm-worker ready zmq=")) return "";
    return std::string(endpoint);
  }

  void ExpectFailure(const std::vector<std::string>& flags,
                     const std::string& sentence, int status = 1) {
    const auto worker = Start(flags);
    EXPECT_THAT(worker->Wait(), IsOkAndHolds(status));
    EXPECT_THAT(worker->Log(), HasSubstr(sentence));
    EXPECT_EQ(ReadLine(*worker), "");
  }

  ScratchDirectory scratch_;
  Bundle bundle_;
  int num_started_ = 0;
};

TEST_F(WorkerMainTest, SigtermFinishesTasksAndExitsZero) {
  const auto worker = Start(
      {"--config", WriteConfig("{path: bundle, pace: {service: 200ms}}")});
  const std::string endpoint = ReadEndpoint(*worker);
  ASSERT_THAT(endpoint, StartsWith("tcp://127.0.0.1:"));
  RawFrontend frontend(endpoint);
  ASSERT_TRUE(frontend.Hello().has_value());
  frontend.SendInfer(1, bundle_, kSample);
  frontend.SendInfer(2, bundle_, kSample);
  // A worker that drains refuses tasks: both must be in before the signal. The
  // second hello comes behind them on the same connection.
  ASSERT_TRUE(frontend.Hello().has_value());
  worker->Signal(SIGTERM);
  for (uint64_t id = 1; id <= 2; ++id) {
    const auto reply = frontend.ReceiveReply(id);
    ASSERT_TRUE(reply.has_value());
    EXPECT_EQ(reply->envelope->reply().status(), wire::OK);
  }
  EXPECT_THAT(worker->Wait(), IsOkAndHolds(0));
  EXPECT_THAT(worker->Log(), HasSubstr("drained: tasks=2 replies_ok=2"));
}

TEST_F(WorkerMainTest, SecondSigtermEndsAtOnce) {
  const auto worker = Start(
      {"--config", WriteConfig("{path: bundle, pace: {service: 3000s}}")});
  RawFrontend frontend(ReadEndpoint(*worker));
  ASSERT_TRUE(frontend.Hello().has_value());
  frontend.SendInfer(1, bundle_, kSample);
  ASSERT_TRUE(frontend.ReceiveStarted(1));
  worker->Signal(SIGTERM);
  const auto drain = frontend.Receive();
  ASSERT_TRUE(drain.has_value());
  EXPECT_TRUE(drain->envelope->has_drain());
  worker->Signal(SIGTERM);
  EXPECT_THAT(worker->Wait(), IsOkAndHolds(128 + SIGTERM));
}

TEST_F(WorkerMainTest, SigintOfIdleWorkerExitsZero) {
  const auto worker = Start({"--config", WriteConfig("{path: bundle}")});
  ASSERT_NE(ReadEndpoint(*worker), "");
  worker->Signal(SIGINT);
  EXPECT_THAT(worker->Wait(), IsOkAndHolds(0));
}

TEST_F(WorkerMainTest, FlagsReplaceIdAndAddress) {
  const std::string config = WriteConfig("{path: bundle}");
  const auto worker = Start({"--config", config, "--id", "renamed", "--bind",
                             "ipc://" + (scratch_ / "socket")});
  const std::string endpoint = ReadEndpoint(*worker);
  EXPECT_EQ(endpoint, "ipc://" + (scratch_ / "socket"));
  RawFrontend frontend(endpoint);
  const auto hello = frontend.Hello();
  ASSERT_TRUE(hello.has_value());
  EXPECT_EQ(hello->worker_id(), "renamed");
  EXPECT_EQ(hello->fault_domain(), "renamed");
}

TEST_F(WorkerMainTest, HttpPortIsInTheReadyLine) {
  const std::string config = WriteConfig("{path: bundle}");
  const auto worker = Start({"--config", config, "--http-port", "0"});
  const std::string line = ReadLine(*worker);
  const size_t at = line.find(" http=127.0.0.1:");
  ASSERT_NE(at, std::string::npos) << line;
  const std::string port = line.substr(line.rfind(':') + 1);
  RawHttpClient client(static_cast<uint16_t>(std::stoi(port)));
  EXPECT_EQ(
      client.Ask("GET /v2/health/ready HTTP/1.1\r\nHost: x\r\n\r\n").status,
      200);
  ExpectFailure({"--config", config, "--http-port", port},
                "cannot listen on 127.0.0.1:" + port);
}

TEST_F(WorkerMainTest, PortInUseIsSaidAndFails) {
  const std::string config = WriteConfig("{path: bundle}");
  const auto worker = Start({"--config", config});
  const std::string endpoint = ReadEndpoint(*worker);
  ASSERT_NE(endpoint, "");
  ExpectFailure({"--config", config, "--bind", endpoint},
                "cannot bind " + endpoint + ": Address already in use");
}

TEST_F(WorkerMainTest, BrokenBundleIsSaidAndFails) {
  const std::string config = WriteConfig("{path: bundle}");
  WriteFile(bundle_.model_path, "parm-linear 1\nse");
  ExpectFailure({"--config", config}, "bundle");
  ExpectFailure({"--config", WriteConfig("{path: absent}")}, "absent");
}

TEST_F(WorkerMainTest, ModelOfAnotherShapeIsSaidAndFails) {
  // A manifest that promises five outputs around a model that gives ten.
  PARM_ASSERT_OK_AND_ASSIGN(
      const Bundle wrong,
      WriteBundle(scratch_ / "wrong",
                  [this] {
                    bundle::Manifest manifest = bundle_.manifest;
                    manifest.mutable_outputs(0)->set_shape(1, 5);
                    return manifest;
                  }(),
                  {{"model.txt", ReadFile(bundle_.model_path)}}));
  ExpectFailure({"--config", WriteConfig("{path: wrong}")},
                "output differs: got FP32 [1,10], want 'logits' FP32 [-1,5]");
}

TEST_F(WorkerMainTest, UnknownKeyIsNamedWithItsLine) {
  ExpectFailure({"--config", WriteConfig("{path: bundle}", "lane: 2\n")},
                "worker.yaml:4");
}

TEST_F(WorkerMainTest, WrongCommandLineEndsWithTwo) {
  ExpectFailure({}, "--config is required", /*status=*/2);
  ExpectFailure({"--confg", "x"}, "--help", /*status=*/2);
}

TEST_F(WorkerMainTest, CheckConfigServesNothing) {
  const std::string config = WriteConfig("{path: bundle}");
  const auto good = Start({"--config", config, "--check-config"});
  EXPECT_THAT(good->Wait(), IsOkAndHolds(0));
  EXPECT_EQ(ReadLine(*good), config + ": OK");
  ExpectFailure({"--config", WriteConfig("{path: absent}"), "--check-config"},
                "absent");
}

TEST_F(WorkerMainTest, HelpAndVersionExitZero) {
  const auto help = Start({"--help"});
  EXPECT_THAT(help->Wait(), IsOkAndHolds(0));
  const auto version = Start({"--version"});
  EXPECT_THAT(version->Wait(), IsOkAndHolds(0));
  EXPECT_THAT(ReadLine(*version), StartsWith("parm-worker "));
}

}  // namespace
}  // namespace parm
