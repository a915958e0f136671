// The gRPC front of a real frontend with real workers: the unmodified
// tritonclient, grpc and grpc.aio (tritonclient_grpc_test.py says what it
// asks).

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/e2e/cluster.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using Serves = Cluster::Serves;

constexpr char kCoded[] =
    "    deadline: 50s\n"
    "    redundancy:\n"
    "      policy: coded\n"
    "      code: {scheme: sum, k: 2, r: 1}\n";

class FrontendGrpcTest : public ::testing::Test {
 protected:
  void RunClient(const ClusterFrontend& frontend,
                 const std::vector<std::string>& more) {
    const char* const python = std::getenv("PARM_PYTHON");
    const char* const source = std::getenv("PARM_SOURCE");
    ASSERT_TRUE(python != nullptr && source != nullptr) << "run it with ctest";
    std::vector<std::string> command = {
        python,
        std::string(source) + "/tests/e2e/tritonclient_grpc_test.py",
        "--url",
        "127.0.0.1:" + std::to_string(frontend.grpc_port),
        "--model",
        "linear",
        "--input",
        "x:FP32:16",
        "--output",
        "logits:FP32:4"};
    command.insert(command.end(), more.begin(), more.end());
    PARM_ASSERT_OK_AND_ASSIGN(
        const std::unique_ptr<Process> client,
        Process::Start(command, cluster_.directory() / "client.log"));
    EXPECT_THAT(client->Wait(), IsOkAndHolds(0)) << client->Log();
  }

  Cluster cluster_;
};

TEST_F(FrontendGrpcTest, ServesAnUnmodifiedClient) {
  cluster_.AddWorker(Serves::kDeployed);
  cluster_.AddWorker(Serves::kDeployed);
  cluster_.AddWorker(Serves::kParity);
  cluster_.StartWorkers();
  const ClusterFrontend frontend =
      cluster_.StartFrontend(kCoded, "", /*with_grpc=*/true);
  ASSERT_TRUE(Cluster::WaitUntilReady(frontend));
  RunClient(frontend, {});
}

TEST_F(FrontendGrpcTest, KeepsDeadlinesAndHearsCancellations) {
  cluster_.AddWorker(Serves::kDeployed, ", pace: {service: 60s}");
  cluster_.StartWorkers();
  const ClusterFrontend frontend =
      cluster_.StartFrontend("    deadline: 600s\n", "", /*with_grpc=*/true);
  ASSERT_TRUE(Cluster::WaitUntilReady(frontend));
  RunClient(frontend, {"--slow", "--metrics",
                       "127.0.0.1:" + std::to_string(frontend.metrics_port)});
}

TEST_F(FrontendGrpcTest, SaysThatThePortIsTaken) {
  cluster_.AddWorker(Serves::kDeployed);
  const ClusterFrontend first =
      cluster_.StartFrontend("    deadline: 1s\n", "", /*with_grpc=*/true);
  PARM_ASSERT_OK_AND_ASSIGN(
      const auto second,
      Process::Start({ProgramPath("parm-frontend"), "--config",
                      cluster_.directory() / "frontend0.yaml", "--http-port",
                      "0", "--metrics-port", "0", "--grpc-port",
                      std::to_string(first.grpc_port)},
                     cluster_.directory() / "second.log"));
  EXPECT_THAT(second->Wait(), IsOkAndHolds(1));
  EXPECT_THAT(second->Log(),
              ::testing::HasSubstr(std::to_string(first.grpc_port) +
                                   " for gRPC: Address already in use"));
}

}  // namespace
}  // namespace parm
