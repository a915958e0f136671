// Clients that nobody wrote for this frontend: curl, hey, wrk and perf_analyzer
// (unmodified_tools.py says what they do), before coded workers.

#include <cstdlib>
#include <string>

#include "gtest/gtest.h"
#include "tests/e2e/cluster.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using Serves = Cluster::Serves;

constexpr int kSkipped = 77;

TEST(UnmodifiedToolsTest, AllOfThemAreServed) {
  const char* const python = std::getenv("PARM_PYTHON");
  const char* const source = std::getenv("PARM_SOURCE");
  ASSERT_TRUE(python != nullptr && source != nullptr) << "run it with ctest";
  Cluster cluster;
  cluster.AddWorker(Serves::kDeployed);
  cluster.AddWorker(Serves::kDeployed);
  cluster.AddWorker(Serves::kParity);
  cluster.StartWorkers();
  const ClusterFrontend frontend = cluster.StartFrontend(
      "    deadline: 50s\n"
      "    redundancy: {policy: coded, code: {scheme: sum, k: 2}}\n",
      "", /*with_grpc=*/true);
  ASSERT_TRUE(Cluster::WaitUntilReady(frontend));
  const std::string host = "127.0.0.1:";
  PARM_ASSERT_OK_AND_ASSIGN(
      const std::unique_ptr<Process> client,
      Process::Start(
          {python, std::string(source) + "/tests/e2e/unmodified_tools.py",
           "--http", host + std::to_string(frontend.http_port), "--grpc",
           host + std::to_string(frontend.grpc_port), "--model", "linear",
           "--input", "x:FP32:16"},
          cluster.directory() / "tools.log"));
  // The first run installs perf_analyzer, from wherever that is.
  absl::StatusOr<int> status = client->Wait();
  for (int i = 0; i < 3 && !status.ok(); ++i) status = client->Wait();
  ASSERT_THAT(status, IsOk()) << client->Log();
  if (*status == kSkipped) {
    GTEST_SKIP() << "SKIPPED: perf_analyzer cannot be had\n" << client->Log();
  }
  EXPECT_EQ(*status, 0) << client->Log();
}

}  // namespace
}  // namespace parm
