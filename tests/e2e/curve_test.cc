// CURVE between a real frontend and real workers: right keys work, wrong and
// missing ones do not, on either side, and both sides say so.

#include <signal.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/curve_keys.h"
#include "tests/e2e/cluster.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::HasSubstr;
using Serves = Cluster::Serves;

constexpr char kModel[] = "    deadline: 20s\n";
constexpr char kFailed[] =
    "parm_upstream_connections_total{event=\"handshake_failed\"}";

class CurveTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* const name : {"frontend", "stranger", "worker", "other"}) {
      ASSERT_THAT(MakeCurveKeys(cluster_.directory() / name), IsOk());
    }
  }

  /// A worker that has `secret` and lets `client` in.
  size_t AddWorker(const std::string& secret, const std::string& client) {
    return cluster_.AddWorker(
        Serves::kDeployed, "",
        absl::StrCat("curve: {secret_key: ", secret, ", frontends: [", client,
                     ".pub]}\n"));
  }
  void ExpectState(const ClusterFrontend& frontend, size_t worker,
                   const std::string& state) {
    EXPECT_TRUE(Cluster::WaitForMetric(frontend,
                                       cluster_.StateMetric(worker, state), 1));
  }
  /// Waits until the log says why this worker stays away.
  bool IsTold(const ClusterFrontend& frontend, size_t worker) {
    const auto give_up = std::chrono::steady_clock::now() + Process::kPatience;
    while (!absl::StrContains(
        frontend.process->Log(),
        absl::StrCat("the worker at ", cluster_.worker(worker).endpoint,
                     " says no hello"))) {
      if (std::chrono::steady_clock::now() > give_up) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return true;
  }
  void ExpectAnswer(const ClusterFrontend& frontend) {
    InferClient client(frontend.http_port);
    const std::vector<float> sample = Cluster::Sample(1);
    const InferAnswer answer = client.Infer("linear", sample);
    EXPECT_EQ(answer.status, 200) << answer.error;
    EXPECT_EQ(answer.values, cluster_.Want(sample));
  }

  Cluster cluster_;
};

TEST_F(CurveTest, ServesWithRightKeysAlone) {
  const size_t good = AddWorker("worker", "frontend");
  const size_t another_worker = AddWorker("other", "frontend");
  const size_t knows_another = AddWorker("worker", "stranger");
  const size_t in_the_clear = cluster_.AddWorker(Serves::kDeployed);
  cluster_.StartWorkers();
  const ClusterFrontend frontend = cluster_.StartFrontend(
      kModel, "curve: {secret_key: frontend, server_key: worker.pub}\n");
  ASSERT_TRUE(Cluster::WaitUntilReady(frontend));
  ExpectState(frontend, good, "up");
  ExpectAnswer(frontend);
  // Each of the others fails at least once.
  ASSERT_TRUE(Cluster::WaitForMetric(frontend, kFailed, 3));
  for (const size_t bad : {another_worker, knows_another, in_the_clear}) {
    ExpectState(frontend, bad, "down");
  }
  for (const size_t bad : {another_worker, knows_another, in_the_clear}) {
    EXPECT_TRUE(IsTold(frontend, bad));
  }
  EXPECT_THAT(frontend.process->Log(),
              HasSubstr("the worker does not know our public key"));
  ExpectAnswer(frontend);
  for (const size_t bad : {another_worker, knows_another}) {
    cluster_.SignalWorker(bad, SIGTERM);
    EXPECT_THAT(cluster_.worker(bad).process->Wait(), IsOkAndHolds(0));
    EXPECT_THAT(cluster_.worker(bad).process->Log(),
                HasSubstr("handshakes_refused="));
  }
}

TEST_F(CurveTest, ServesNobodyInTheClear) {
  const size_t worker = AddWorker("worker", "frontend");
  cluster_.StartWorkers();
  const ClusterFrontend plain = cluster_.StartFrontend(kModel);
  ASSERT_TRUE(Cluster::WaitForMetric(plain, kFailed, 1));
  ExpectState(plain, worker, "down");
  InferClient client(plain.http_port);
  EXPECT_EQ(client.Infer("linear", Cluster::Sample(1)).status, 503);
  EXPECT_TRUE(IsTold(plain, worker));
}

TEST_F(CurveTest, ComesBackAfterARestart) {
  const size_t worker = AddWorker("worker", "frontend");
  cluster_.StartWorkers();
  const ClusterFrontend frontend = cluster_.StartFrontend(
      kModel, "curve: {secret_key: frontend, server_key: worker.pub}\n");
  ASSERT_TRUE(Cluster::WaitUntilReady(frontend));
  cluster_.KillWorker(worker);
  ExpectState(frontend, worker, "down");
  cluster_.StartWorker(worker);
  ExpectState(frontend, worker, "up");
  ExpectAnswer(frontend);
}

}  // namespace
}  // namespace parm
