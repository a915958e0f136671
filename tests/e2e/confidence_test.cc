// What a client learns of how sure a reconstruction is, over real processes:
// from the table in a parity bundle's manifest, through its worker's Hello, to
// the answer's header; and that a doubtful one waits for the exact answer.

#include <signal.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "encoder/confidence.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/cluster.h"

namespace parm {
namespace {

using Serves = Cluster::Serves;
using ::testing::FloatNear;
using ::testing::Pointwise;
using ::testing::UnorderedElementsAre;

constexpr char kConfidence[] = "x-parm-confidence";
constexpr char kHeld[] =
    "parm_decodes_total{model=\"linear\",outcome=\"held\"}";
constexpr char kReconstructed[] =
    "parm_queries_total{model=\"linear\",source=\"reconstructed\"}";

std::vector<ConfidenceStep> Table() {
  return {{.margin_at_least = 0, .probability_right = 0.5},
          {.margin_at_least = 0.01, .probability_right = 0.75},
          {.margin_at_least = 1000, .probability_right = 0.875}};
}

// Groups close when they are full, and a decode is due when it is there.
std::string CodedWith(const std::string& decode) {
  return absl::StrCat(
      "    deadline: 50s\n"
      "    redundancy:\n"
      "      policy: coded\n"
      "      code: {scheme: sum, k: 2}\n"
      "      group: {timeout: 20s}\n"
      "      decode: {trigger: {quantile: 0}",
      decode, "}\n");
}

class ConfidenceTest : public ::testing::Test {
 protected:
  ClusterFrontend Start(Cluster& cluster, const std::string& decode) {
    cluster.AddWorker(Serves::kDeployed);
    cluster.AddWorker(Serves::kDeployed);
    cluster.AddWorker(Serves::kParity);
    cluster.StartWorkers();
    ClusterFrontend frontend = cluster.StartFrontend(CodedWith(decode));
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_TRUE(
          Cluster::WaitForMetric(frontend, cluster.StateMetric(i, "up"), 1));
    }
    return frontend;
  }

  // One group, whose members are at both deployed workers.
  void SendGroup(const ClusterFrontend& frontend) {
    for (const std::vector<float>& sample : samples_) {
      clients_.emplace_back(frontend.http_port);
      clients_.back().Send("linear", sample);
    }
  }

  const std::vector<std::vector<float>> samples_ = {Cluster::Sample(1),
                                                    Cluster::Sample(4)};
  std::deque<InferClient> clients_;
};

TEST_F(ConfidenceTest, ReconstructionsSayHowSureTheyAre) {
  Cluster cluster({.scheme = "sum", .k = 2}, {Cluster::kInputs}, Table());
  const ClusterFrontend frontend =
      Start(cluster, ", min_confidence: 0.7, floor: 0.6");
  cluster.SignalWorker(0, SIGSTOP);
  SendGroup(frontend);
  std::vector<std::string> sources;
  for (size_t i = 0; i < samples_.size(); ++i) {
    const InferAnswer answer = clients_[i].Receive();
    ASSERT_EQ(answer.status, 200) << answer.error;
    const std::vector<float> want = cluster.Want(samples_[i]);
    EXPECT_THAT(answer.values, Pointwise(FloatNear(1e-3F), want));
    sources.push_back(answer.source);
    if (answer.source == "exact") {
      EXPECT_EQ(answer.headers.count(kConfidence), 0U);
      continue;
    }
    ASSERT_EQ(answer.headers.count(kConfidence), 1U);
    EXPECT_EQ(answer.headers.at(kConfidence), "0.75");
    EXPECT_EQ(ConfidenceOf(Table(), MarginOf(want)), 0.75);
  }
  EXPECT_THAT(sources, UnorderedElementsAre("exact", "reconstructed"));
}

TEST_F(ConfidenceTest, DoubtfulReconstructionsWaitForTheExactAnswer) {
  Cluster cluster({.scheme = "sum", .k = 2}, {Cluster::kInputs}, Table());
  const ClusterFrontend frontend = Start(cluster, ", min_confidence: 0.9");
  cluster.SignalWorker(0, SIGSTOP);
  SendGroup(frontend);
  EXPECT_TRUE(Cluster::WaitForMetric(frontend, kHeld, 1));
  cluster.SignalWorker(0, SIGCONT);
  for (size_t i = 0; i < samples_.size(); ++i) {
    const InferAnswer answer = clients_[i].Receive();
    ASSERT_EQ(answer.status, 200) << answer.error;
    EXPECT_EQ(answer.source, "exact");
    EXPECT_EQ(answer.headers.count(kConfidence), 0U);
    EXPECT_THAT(answer.values,
                Pointwise(FloatNear(1e-3F), cluster.Want(samples_[i])));
  }
  EXPECT_EQ(MetricValue(Cluster::Metrics(frontend), kReconstructed), 0);
}

TEST_F(ConfidenceTest, ParityWithoutATableIsRefusedWhereOneIsNeeded) {
  Cluster cluster;
  const ClusterFrontend frontend = Start(cluster, ", floor: 0.5");
  EXPECT_EQ(MetricValue(Cluster::Metrics(frontend),
                        "parm_bundles_refused_total{reason=\"calibration\"}"),
            1);
}

}  // namespace
}  // namespace parm
