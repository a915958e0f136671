// Codes that cover several losses of one group, over real processes: two
// workers are killed in the same instant, or nobody but the parity worker
// answers, and what is missing is rebuilt.

#include <signal.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/cluster.h"

namespace parm {
namespace {

using Serves = Cluster::Serves;
using ::testing::FloatNear;
using ::testing::Pointwise;

constexpr char kExact[] =
    "parm_queries_total{model=\"linear\",source=\"exact\"}";

// Groups close when they are full, reconstructions leave when they are there,
// and a machine that is merely busy is no death.
std::string CodedBy(const CodeSpec& code,
                    const std::string& group_timeout = "20s") {
  return absl::StrCat(
      "    deadline: 50s\n"
      "    redundancy:\n"
      "      policy: coded\n"
      "      code: {scheme: ",
      code.scheme, ", k: ", code.k, ", r: ", code.r,
      "}\n"
      "      group: {timeout: ",
      group_timeout,
      "}\n"
      "      decode: {trigger: {quantile: 0}}\n");
}
constexpr char kPatientHealth[] = "health: {heartbeat_timeout: 60s}\n";

// Each box of 2 x 2 pixels has one value, so that nothing is lost when the
// picture of 4 x 4 is shrunk.
std::vector<float> PictureOf(uint64_t seed) {
  const std::vector<float> boxes = Cluster::Sample(seed);
  std::vector<float> picture;
  for (size_t y = 0; y < 4; ++y) {
    for (size_t x = 0; x < 4; ++x) picture.push_back(boxes[y / 2 * 2 + x / 2]);
  }
  return picture;
}

std::string TasksOf(const std::string& attempt_type) {
  return absl::StrCat("parm_tasks_total{model=\"linear\",attempt_type=\"",
                      attempt_type, "\"}");
}

Buffer BytesOf(const std::vector<float>& values) {
  return Buffer::CopyOf({reinterpret_cast<const std::byte*>(values.data()),
                         values.size() * sizeof(float)});
}

class LostMembersTest : public ::testing::Test {
 protected:
  // k deployed workers first, then r parity workers; all are up.
  ClusterFrontend Start(Cluster& cluster, const CodeSpec& code) {
    for (int i = 0; i < code.k; ++i) cluster.AddWorker(Serves::kDeployed);
    cluster.AddWorker(Serves::kParity);
    if (code.r > 1) cluster.AddWorker(Serves::kSecondParity);
    cluster.StartWorkers();
    ClusterFrontend frontend =
        cluster.StartFrontend(CodedBy(code), kPatientHealth);
    for (int i = 0; i < code.k + code.r; ++i) {
      EXPECT_TRUE(Cluster::WaitForMetric(
          frontend, cluster.StateMetric(static_cast<size_t>(i), "up"), 1));
    }
    return frontend;
  }

  // Sends one group, kills two of the workers that hold it, and returns where
  // the answers came from.
  std::vector<std::string> KillTwoOfGroup(
      const CodeSpec& code, Cluster& cluster, const ClusterFrontend& frontend,
      const std::vector<int64_t>& shape,
      const std::vector<std::vector<float>>& samples) {
    const auto k = static_cast<size_t>(code.k);
    const auto r = static_cast<size_t>(code.r);
    // Stopped, the victims and the parities take tasks and answer none.
    for (const size_t i : {size_t{0}, size_t{1}}) {
      cluster.SignalWorker(i, SIGSTOP);
    }
    for (size_t i = k; i < k + r; ++i) cluster.SignalWorker(i, SIGSTOP);
    std::deque<InferClient> clients;
    for (const std::vector<float>& sample : samples) {
      clients.emplace_back(frontend.http_port);
      clients.back().Send(
          "linear",
          {.spec = {.name = "x", .datatype = DataType::kFp32, .shape = shape},
           .data = BytesOf(sample)});
    }
    // All tasks of the group are out before anybody dies.
    EXPECT_TRUE(Cluster::WaitForMetric(frontend, TasksOf("parity"), code.r));
    EXPECT_TRUE(Cluster::WaitForMetric(frontend, TasksOf("original"), code.k));
    // The others have answered, and will not help out.
    if (k > 2) {
      EXPECT_TRUE(
          Cluster::WaitForMetric(frontend, kExact, static_cast<double>(k - 2)));
      for (size_t i = 2; i < k; ++i) cluster.SignalWorker(i, SIGSTOP);
    }
    cluster.SignalWorker(0, SIGKILL);
    cluster.SignalWorker(1, SIGKILL);
    for (size_t i = k; i < k + r; ++i) cluster.SignalWorker(i, SIGCONT);
    std::vector<std::string> sources;
    for (size_t i = 0; i < k; ++i) {
      const InferAnswer answer = clients[i].Receive();
      EXPECT_EQ(answer.status, 200) << answer.error;
      EXPECT_THAT(answer.values,
                  Pointwise(FloatNear(1e-3F), cluster.Want(samples[i])));
      sources.push_back(answer.source);
    }
    return sources;
  }
};

TEST_F(LostMembersTest, TileRebuildsTwoOfFour) {
  const CodeSpec code = {.scheme = "tile", .k = 4, .r = 1};
  Cluster cluster(code, {1, 4, 4});
  const ClusterFrontend frontend = Start(cluster, code);
  std::vector<std::vector<float>> samples;
  for (uint64_t i = 0; i < 4; ++i) samples.push_back(PictureOf(i));
  EXPECT_THAT(KillTwoOfGroup(code, cluster, frontend, {1, 1, 4, 4}, samples),
              ::testing::UnorderedElementsAre("exact", "exact", "reconstructed",
                                              "reconstructed"));
}

TEST_F(LostMembersTest, WeightedWithTwoParitiesRebuildsTwoOfFour) {
  const CodeSpec code = {.scheme = "weighted", .k = 4, .r = 2};
  Cluster cluster(code);
  const ClusterFrontend frontend = Start(cluster, code);
  std::vector<std::vector<float>> samples;
  for (uint64_t i = 0; i < 4; ++i) samples.push_back(Cluster::Sample(i));
  EXPECT_THAT(
      KillTwoOfGroup(code, cluster, frontend, {1, Cluster::kInputs}, samples),
      ::testing::UnorderedElementsAre("exact", "exact", "reconstructed",
                                      "reconstructed"));
}

TEST_F(LostMembersTest, WeightedWithTwoParitiesRebuildsAllOfTwo) {
  const CodeSpec code = {.scheme = "weighted", .k = 2, .r = 2};
  Cluster cluster(code);
  const ClusterFrontend frontend = Start(cluster, code);
  EXPECT_THAT(
      KillTwoOfGroup(code, cluster, frontend, {1, Cluster::kInputs},
                     {Cluster::Sample(5), Cluster::Sample(6)}),
      ::testing::UnorderedElementsAre("reconstructed", "reconstructed"));
}

// Three of four members, and their group is closed by its timer (or, should
// this machine be held up, several groups are).
TEST_F(LostMembersTest, ShortGroupsAreRebuiltFromTheirParity) {
  for (const char* const scheme : {"tile", "pack"}) {
    SCOPED_TRACE(scheme);
    const CodeSpec code = {.scheme = scheme, .k = 4, .r = 1};
    constexpr size_t kMembers = 3;
    Cluster cluster(code, {1, 4, 4});
    for (size_t i = 0; i < kMembers; ++i) cluster.AddWorker(Serves::kDeployed);
    cluster.AddWorker(Serves::kParity);
    cluster.StartWorkers();
    const ClusterFrontend frontend =
        cluster.StartFrontend(CodedBy(code, "100ms"), kPatientHealth);
    for (size_t i = 0; i <= kMembers; ++i) {
      EXPECT_TRUE(
          Cluster::WaitForMetric(frontend, cluster.StateMetric(i, "up"), 1));
    }
    for (size_t i = 0; i < kMembers; ++i) cluster.SignalWorker(i, SIGSTOP);
    std::deque<InferClient> clients;
    for (uint64_t i = 0; i < kMembers; ++i) {
      clients.emplace_back(frontend.http_port);
      clients.back().Send("linear", {.spec = {.name = "x",
                                              .datatype = DataType::kFp32,
                                              .shape = {1, 1, 4, 4}},
                                     .data = BytesOf(PictureOf(i))});
    }
    for (uint64_t i = 0; i < kMembers; ++i) {
      const InferAnswer answer = clients[i].Receive();
      EXPECT_EQ(answer.status, 200) << answer.error;
      EXPECT_EQ(answer.source, "reconstructed");
      EXPECT_THAT(answer.values,
                  Pointwise(FloatNear(1e-3F), cluster.Want(PictureOf(i))));
    }
    EXPECT_GE(
        MetricValue(Cluster::Metrics(frontend),
                    "parm_groups_total{model=\"linear\",outcome=\"short\"}"),
        1);
  }
}

}  // namespace
}  // namespace parm
