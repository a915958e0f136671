// A frontend that is given another configuration, and then told to go, while
// clients ask.

#include <signal.h>

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/cluster.h"
#include "tests/e2e/load_client.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using Serves = Cluster::Serves;

// Long enough for a sanitizer's build on a busy machine.
constexpr char kNone[] = "    deadline: 50s\n";
constexpr char kCoded[] =
    "    deadline: 50s\n"
    "    redundancy: {policy: coded, code: {scheme: sum, k: 2}}\n";
constexpr char kHedge[] =
    "    deadline: 50s\n"
    "    redundancy: {policy: hedge}\n";

constexpr char kApplied[] = "parm_config_reloads_total{outcome=\"applied\"}";
constexpr char kGroups[] =
    "parm_groups_total{model=\"linear\",outcome=\"full\"}";
constexpr char kExact[] =
    "parm_queries_total{model=\"linear\",source=\"exact\"}";
constexpr char kHedged[] =
    "parm_queries_total{model=\"linear\",source=\"hedged\"}";

TEST(ReloadTest, LosesNoQueryWhenPoliciesChangeUnderLoad) {
  Cluster cluster;
  for (int i = 0; i < 3; ++i) {
    cluster.AddWorker(Serves::kDeployed, ", pace: {service: 5ms}");
  }
  cluster.AddWorker(Serves::kParity, ", pace: {service: 5ms}");
  cluster.StartWorkers();
  ClusterFrontend frontend = cluster.StartFrontend(kNone);
  ASSERT_TRUE(Cluster::WaitUntilReady(frontend));
  LoadClients clients;
  for (uint64_t i = 0; i < 4; ++i) {
    clients.push_back(
        std::make_unique<LoadClient>(cluster, frontend.http_port, 1000 * i));
  }
  ASSERT_TRUE(AwaitQueries(clients, 10));
  int reloads = 0;
  for (const char* model : {kCoded, kHedge, kNone, kCoded}) {
    WriteFile(frontend.config_path, cluster.FrontendConfig(model, ""));
    frontend.process->Signal(SIGHUP);
    ASSERT_TRUE(Cluster::WaitForMetric(frontend, kApplied, ++reloads));
    ASSERT_TRUE(AwaitQueries(clients, 20));
  }
  ASSERT_TRUE(Cluster::WaitForMetric(frontend, kGroups, 1));
  // A file with a mistake changes nothing.
  WriteFile(frontend.config_path, "workers: 3\n");
  frontend.process->Signal(SIGHUP);
  ASSERT_TRUE(Cluster::WaitForMetric(
      frontend, "parm_config_reloads_total{outcome=\"refused\"}", 1));
  ASSERT_TRUE(AwaitQueries(clients, 10));
  int exact = 0;
  for (const auto& client : clients) {
    const Tally& tally = client->Stop();
    EXPECT_THAT(tally.failures, ::testing::IsEmpty());
    EXPECT_EQ(tally.wrong_values, 0);
    exact += tally.exact;
  }
  // Every answer is still counted, whoever gave it.
  const std::string metrics = Cluster::Metrics(frontend);
  EXPECT_EQ(MetricValue(metrics, kExact) + MetricValue(metrics, kHedged),
            exact);
  EXPECT_THAT(frontend.process->Log(), ::testing::HasSubstr("yaml:1: "));
  frontend.process->Signal(SIGTERM);
  EXPECT_THAT(frontend.process->Wait(), IsOkAndHolds(0));
}

}  // namespace
}  // namespace parm
