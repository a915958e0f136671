// Workers that are killed under load, and frontends that share a pool.

#include <signal.h>

#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/cluster.h"
#include "tests/e2e/load_client.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using Serves = Cluster::Serves;

// Long enough for a sanitizer's build on a busy machine.
constexpr char kCoded[] =
    "    deadline: 50s\n"
    "    redundancy:\n"
    "      policy: coded\n"
    "      code: {scheme: sum, k: 2, r: 1}\n";

constexpr char kExact[] =
    "parm_queries_total{model=\"linear\",source=\"exact\"}";
constexpr char kReconstructed[] =
    "parm_queries_total{model=\"linear\",source=\"reconstructed\"}";

TEST(KillWorkerTest, AnswersEveryQueryWhileAWorkerIsKilled) {
  Cluster cluster;
  for (int i = 0; i < 4; ++i) {
    cluster.AddWorker(Serves::kDeployed, ", pace: {service: 8ms}");
  }
  for (int i = 0; i < 2; ++i) {
    cluster.AddWorker(Serves::kParity, ", pace: {service: 8ms}");
  }
  cluster.StartWorkers();
  const ClusterFrontend frontend = cluster.StartFrontend(kCoded);
  for (size_t i = 0; i < 6; ++i) {
    ASSERT_TRUE(
        Cluster::WaitForMetric(frontend, cluster.StateMetric(i, "up"), 1));
  }
  LoadClients clients;
  for (uint64_t i = 0; i < 4; ++i) {
    clients.push_back(
        std::make_unique<LoadClient>(cluster, frontend.http_port, 1000 * i));
  }
  EXPECT_TRUE(AwaitQueries(clients, 20));
  cluster.KillWorker(0);
  EXPECT_TRUE(AwaitQueries(clients, 20));
  cluster.StartWorker(0);
  ASSERT_TRUE(
      Cluster::WaitForMetric(frontend, cluster.StateMetric(0, "up"), 1));
  EXPECT_TRUE(AwaitQueries(clients, 20));
  // One that hangs before it dies: what it holds only a parity can answer.
  const double rebuilt =
      MetricValue(Cluster::Metrics(frontend), kReconstructed);
  cluster.SignalWorker(0, SIGSTOP);
  ASSERT_TRUE(Cluster::WaitForMetric(frontend, kReconstructed, rebuilt + 1));
  cluster.KillWorker(0);
  EXPECT_TRUE(AwaitQueries(clients, 20));
  cluster.StartWorker(0);
  ASSERT_TRUE(
      Cluster::WaitForMetric(frontend, cluster.StateMetric(0, "up"), 1));
  EXPECT_TRUE(AwaitQueries(clients, 20));
  int reconstructed = 0;
  for (const auto& client : clients) {
    const Tally& tally = client->Stop();
    // Neither an error nor a default answer: the frontend kept the deadline.
    EXPECT_THAT(tally.failures, ::testing::IsEmpty());
    EXPECT_EQ(tally.wrong_values, 0);
    EXPECT_GT(tally.exact, 0);
    reconstructed += tally.reconstructed;
  }
  EXPECT_GT(reconstructed, 0);
  // It has its role back: alone, it answers.
  for (size_t i = 1; i < 4; ++i) {
    cluster.KillWorker(i);
    ASSERT_TRUE(
        Cluster::WaitForMetric(frontend, cluster.StateMetric(i, "down"), 1));
  }
  InferClient client(frontend.http_port);
  for (uint64_t i = 0; i < 10; ++i) {
    const InferAnswer answer =
        client.Infer("linear", Cluster::Sample(i), {{"parm_mode", "exact"}});
    EXPECT_EQ(answer.status, 200) << answer.error;
    EXPECT_EQ(answer.source, "exact");
  }
}

TEST(KillWorkerTest, RebuildsWhatAKilledWorkerHeld) {
  Cluster cluster;
  enum : size_t { kVictim, kOther, kParity };
  cluster.AddWorker(Serves::kDeployed);
  cluster.AddWorker(Serves::kDeployed);
  cluster.AddWorker(Serves::kParity);
  cluster.StartWorkers();
  const ClusterFrontend frontend = cluster.StartFrontend(
      "    deadline: 50s\n"
      "    redundancy:\n"
      "      policy: coded\n"
      "      code: {scheme: sum, k: 2, r: 1}\n"
      "      group: {timeout: 20s}\n"
      "      decode: {trigger: {quantile: 0}}\n");
  for (size_t i = 0; i < 3; ++i) {
    ASSERT_TRUE(
        Cluster::WaitForMetric(frontend, cluster.StateMetric(i, "up"), 1));
  }
  // Two queries, one for each worker; only one worker answers.
  cluster.SignalWorker(kVictim, SIGSTOP);
  cluster.SignalWorker(kParity, SIGSTOP);
  InferClient clients[] = {InferClient(frontend.http_port),
                           InferClient(frontend.http_port)};
  for (uint64_t i = 0; i < 2; ++i) {
    clients[i].Send("linear", Cluster::Sample(i));
  }
  ASSERT_TRUE(Cluster::WaitForMetric(frontend, kExact, 1));
  // The killed task's second try finds nobody who answers; the parity comes.
  cluster.SignalWorker(kOther, SIGSTOP);
  cluster.KillWorker(kVictim);
  cluster.SignalWorker(kParity, SIGCONT);
  std::vector<std::string> sources;
  for (uint64_t i = 0; i < 2; ++i) {
    const InferAnswer answer = clients[i].Receive();
    EXPECT_EQ(answer.status, 200) << answer.error;
    EXPECT_THAT(answer.values,
                ::testing::Pointwise(::testing::FloatNear(1e-4F),
                                     cluster.Want(Cluster::Sample(i))));
    sources.push_back(answer.source);
  }
  EXPECT_THAT(sources,
              ::testing::UnorderedElementsAre("exact", "reconstructed"));
}

TEST(KillWorkerTest, SharesAPoolBetweenTwoFrontends) {
  Cluster cluster;
  for (int i = 0; i < 2; ++i) {
    cluster.AddWorker(Serves::kDeployed, ", pace: {service: 5ms}");
  }
  cluster.AddWorker(Serves::kParity, ", pace: {service: 5ms}");
  cluster.StartWorkers();
  const ClusterFrontend frontends[] = {cluster.StartFrontend(kCoded),
                                       cluster.StartFrontend(kCoded)};
  for (const ClusterFrontend& frontend : frontends) {
    ASSERT_TRUE(Cluster::WaitUntilReady(frontend));
  }
  LoadClients clients;
  for (uint64_t i = 0; i < 4; ++i) {
    clients.push_back(std::make_unique<LoadClient>(
        cluster, frontends[i % 2].http_port, 1000 * i));
  }
  EXPECT_TRUE(AwaitQueries(clients, 50));
  // That they take turns at a lane is WorkerLoopTest's.
  for (const auto& client : clients) {
    const Tally& tally = client->Stop();
    EXPECT_THAT(tally.failures, ::testing::IsEmpty());
    EXPECT_EQ(tally.wrong_values, 0);
    EXPECT_GE(tally.total(), 50);
  }
}

}  // namespace
}  // namespace parm
