// A frontend that writes its queries down, as real processes: what lies in the
// directory is what was sent.

#include <signal.h>

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/npy_header.h"
#include "tests/e2e/cluster.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::HasSubstr;
using Serves = Cluster::Serves;

class CaptureTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directory(cluster_.directory() / "captured");
    cluster_.AddWorker(Serves::kDeployed);
    cluster_.StartWorkers();
  }

  // `more`: further keys of the section, each behind a comma.
  std::string Model(const std::string& more) const {
    return absl::StrCat(
        "    deadline: 50s\n"
        "    capture: {directory: captured, sample: 1",
        more, "}\n");
  }

  Cluster cluster_;
};

TEST_F(CaptureTest, WritesDownWhatClientsSent) {
  const ClusterFrontend frontend =
      cluster_.StartFrontend(Model(", max_per_second: 1000"));
  ASSERT_TRUE(Cluster::WaitUntilReady(frontend));
  InferClient client(frontend.http_port);
  std::vector<float> sent;
  for (uint64_t i = 0; i < 50; ++i) {
    const std::vector<float> sample = Cluster::Sample(i);
    sent.insert(sent.end(), sample.begin(), sample.end());
    const InferAnswer answer = client.Infer("linear", sample);
    EXPECT_EQ(answer.status, 200) << answer.error;
  }
  EXPECT_EQ(client.Infer("linear", {1, 2, 3}).status, 400);
  EXPECT_EQ(MetricValue(Cluster::Metrics(frontend),
                        "parm_capture_queries_total{model=\"linear\","
                        "outcome=\"taken\"}"),
            50);
  frontend.process->Signal(SIGTERM);
  ASSERT_THAT(frontend.process->Wait(), IsOkAndHolds(0));

  const std::string file =
      ReadFile(cluster_.directory() / "captured/queries-000001.npy");
  PARM_ASSERT_OK_AND_ASSIGN(const NpyHeader header, ParseNpyHeader(file, "f"));
  EXPECT_EQ(header.datatype, DataType::kFp32);
  EXPECT_EQ(header.shape, (std::vector<int64_t>{50, Cluster::kInputs}));
  ASSERT_EQ(file.size() - header.size, sent.size() * sizeof(float));
  EXPECT_EQ(std::memcmp(file.data() + header.size, sent.data(),
                        sent.size() * sizeof(float)),
            0);
}

TEST_F(CaptureTest, ServesOnWhenItsDirectoryIsGone) {
  const ClusterFrontend frontend = cluster_.StartFrontend(Model(""));
  ASSERT_TRUE(Cluster::WaitUntilReady(frontend));
  std::filesystem::remove_all(cluster_.directory() / "captured");
  InferClient client(frontend.http_port);
  EXPECT_EQ(client.Infer("linear", Cluster::Sample(1)).status, 200);
  ASSERT_TRUE(Cluster::WaitForMetric(
      frontend, "parm_capture_write_failures_total{model=\"linear\"}", 1));
  EXPECT_EQ(client.Infer("linear", Cluster::Sample(2)).status, 200);
  EXPECT_EQ(MetricValue(Cluster::Metrics(frontend),
                        "parm_capture_queries_total{model=\"linear\","
                        "outcome=\"failed\"}"),
            1);
  EXPECT_THAT(frontend.process->Log(),
              HasSubstr("capture of model 'linear' ends"));
  frontend.process->Signal(SIGTERM);
  EXPECT_THAT(frontend.process->Wait(), IsOkAndHolds(0));
}

TEST_F(CaptureTest, TwoFrontendsDoNotShareADirectory) {
  const ClusterFrontend first = cluster_.StartFrontend(Model(""));
  PARM_ASSERT_OK_AND_ASSIGN(
      const auto second,
      Process::Start({ProgramPath("parm-frontend"), "--config",
                      cluster_.directory() / "frontend0.yaml", "--http-port",
                      "0", "--allow-grpc=false", "--metrics-port", "0"},
                     cluster_.directory() / "second.log"));
  EXPECT_THAT(second->Wait(), IsOkAndHolds(1));
  EXPECT_THAT(second->Log(), HasSubstr("in use by another process"));
}

}  // namespace
}  // namespace parm
