// The unmodified tritonclient, http and http.aio, against a real frontend with
// coded workers: tritonclient_test.py says what it asks.

#include <cstdlib>
#include <string>

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

TEST(FrontendTritonclientTest, ServesAnUnmodifiedClient) {
  const char* const python = std::getenv("PARM_PYTHON");
  const char* const source = std::getenv("PARM_SOURCE");
  ASSERT_TRUE(python != nullptr && source != nullptr) << "run it with ctest";
  Cluster cluster;
  cluster.AddWorker(Serves::kDeployed);
  cluster.AddWorker(Serves::kDeployed);
  cluster.AddWorker(Serves::kParity);
  cluster.StartWorkers();
  const ClusterFrontend frontend = cluster.StartFrontend(kCoded);
  ASSERT_TRUE(Cluster::WaitUntilReady(frontend));
  PARM_ASSERT_OK_AND_ASSIGN(
      const std::unique_ptr<Process> client,
      Process::Start(
          {python, std::string(source) + "/tests/e2e/tritonclient_test.py",
           "--url", "127.0.0.1:" + std::to_string(frontend.http_port),
           "--model", "linear", "--input", "x:FP32:16", "--output",
           "logits:FP32:4"},
          cluster.directory() / "tritonclient.log"));
  EXPECT_THAT(client->Wait(), IsOkAndHolds(0)) << client->Log();
}

}  // namespace
}  // namespace parm
