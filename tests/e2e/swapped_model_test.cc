// A deployed model is swapped while its parity model stays, over real
// processes: nothing is reconstructed with a parity model that was made for
// another one, until its successor is there.

#include <signal.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/cluster.h"

namespace parm {
namespace {

using Serves = Cluster::Serves;
using ::testing::FloatNear;
using ::testing::HasSubstr;
using ::testing::Pointwise;
using ::testing::UnorderedElementsAre;

// Groups close when they are full, and reconstructions leave when they are
// there.
constexpr char kCoded[] =
    "    deadline: 50s\n"
    "    redundancy:\n"
    "      policy: coded\n"
    "      code: {scheme: sum, k: 2}\n"
    "      group: {timeout: 20s}\n"
    "      decode: {trigger: {quantile: 0}}\n";
constexpr char kReconstructed[] =
    "parm_queries_total{model=\"linear\",source=\"reconstructed\"}";
constexpr char kParityTasks[] =
    "parm_tasks_total{model=\"linear\",attempt_type=\"parity\"}";
constexpr char kUnplaced[] =
    "parm_groups_total{model=\"linear\",outcome=\"unplaced\"}";
constexpr char kStale[] = "parm_bundles_refused_total{reason=\"lineage\"}";

class SwappedModelTest : public ::testing::Test {
 protected:
  SwappedModelTest() {
    cluster_.AddWorker(Serves::kDeployed);
    cluster_.AddWorker(Serves::kDeployed);
    cluster_.AddWorker(Serves::kParity);
    cluster_.StartWorkers();
    frontend_ = cluster_.StartFrontend(kCoded);
    for (size_t i = 0; i < 3; ++i) WaitUntilUp(i);
  }

  void WaitUntilUp(size_t worker) {
    EXPECT_TRUE(Cluster::WaitForMetric(frontend_,
                                       cluster_.StateMetric(worker, "up"), 1));
  }

  void Swap(size_t worker, Serves serves) {
    cluster_.KillWorker(worker);
    EXPECT_TRUE(Cluster::WaitForMetric(
        frontend_, cluster_.StateMetric(worker, "down"), 1));
    cluster_.Reconfigure(worker, serves);
    cluster_.StartWorker(worker);
    WaitUntilUp(worker);
  }

  // One group, one of whose members is at a worker that hangs.
  void SendGroup() {
    cluster_.SignalWorker(0, SIGSTOP);
    clients_.clear();
    for (const std::vector<float>& sample : samples_) {
      clients_.emplace_back(frontend_.http_port);
      clients_.back().Send("linear", sample);
    }
  }

  // The answers' sources; each must be of the retrained model or not.
  std::vector<std::string> Receive(bool retrained) {
    std::vector<std::string> sources;
    for (size_t i = 0; i < samples_.size(); ++i) {
      const InferAnswer answer = clients_[i].Receive();
      EXPECT_EQ(answer.status, 200) << answer.error;
      EXPECT_THAT(answer.values,
                  Pointwise(FloatNear(1e-3F),
                            retrained ? cluster_.WantOfRetrained(samples_[i])
                                      : cluster_.Want(samples_[i])));
      sources.push_back(answer.source);
    }
    return sources;
  }

  double Metric(const std::string& name) {
    return MetricValue(Cluster::Metrics(frontend_), name);
  }

  const std::vector<std::vector<float>> samples_ = {Cluster::Sample(1),
                                                    Cluster::Sample(4)};
  Cluster cluster_;
  ClusterFrontend frontend_;
  std::deque<InferClient> clients_;
};

TEST_F(SwappedModelTest, StaleParityReconstructsNothing) {
  SendGroup();
  EXPECT_THAT(Receive(/*retrained=*/false),
              UnorderedElementsAre("exact", "reconstructed"));
  cluster_.SignalWorker(0, SIGCONT);
  const double parity_tasks = Metric(kParityTasks);

  Swap(0, Serves::kRetrained);
  Swap(1, Serves::kRetrained);
  ASSERT_TRUE(Cluster::WaitForMetric(frontend_, kStale, 1));
  EXPECT_THAT(frontend_.process->Log(),
              HasSubstr("is idle: it was made for deployed bundle"));
  SendGroup();
  // The group is full, and nobody can be asked to answer for it.
  EXPECT_TRUE(Cluster::WaitForMetric(frontend_, kUnplaced, 1));
  cluster_.SignalWorker(0, SIGCONT);
  EXPECT_THAT(Receive(/*retrained=*/true),
              UnorderedElementsAre("exact", "exact"));
  EXPECT_EQ(Metric(kParityTasks), parity_tasks);
  EXPECT_EQ(Metric(kReconstructed), 1);

  Swap(2, Serves::kRetrainedParity);
  SendGroup();
  EXPECT_THAT(Receive(/*retrained=*/true),
              UnorderedElementsAre("exact", "reconstructed"));
}

}  // namespace
}  // namespace parm
