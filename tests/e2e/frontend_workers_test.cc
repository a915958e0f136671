// A frontend and workers as real processes: start in any order, coded answers,
// refusals, drain.

#include <signal.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/cluster.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Pointwise;
using Serves = Cluster::Serves;

constexpr char kNone[] = "    deadline: 50s\n";
constexpr char kCoded[] =
    "    deadline: 50s\n"
    "    redundancy:\n"
    "      policy: coded\n"
    "      code: {scheme: sum, k: 2, r: 1}\n"
    "      group: {timeout: 1s}\n";

void ExpectNear(const std::vector<float>& got, const std::vector<float>& want) {
  EXPECT_THAT(got, Pointwise(::testing::FloatNear(1e-4F), want));
}

TEST(FrontendWorkersTest, SaysSoBeforeAnyWorkerIsThere) {
  Cluster cluster;
  cluster.AddWorker(Serves::kDeployed);
  const ClusterFrontend frontend = cluster.StartFrontend(kNone);
  InferClient client(frontend.http_port);
  EXPECT_NE(client.Get("/v2/health/ready").status, 200);
  EXPECT_EQ(client.Get("/v2/health/live").status, 200);
  InferAnswer answer = client.Infer("linear", Cluster::Sample(1));
  EXPECT_EQ(answer.status, 503);
  EXPECT_THAT(answer.error, HasSubstr("no worker serves model 'linear' yet"));
  EXPECT_EQ(answer.headers["retry-after"], "1");
  EXPECT_EQ(MetricValue(Cluster::Metrics(frontend),
                        "parm_queries_rejected_total{reason=\"no_worker\"}"),
            1);

  cluster.StartWorkers();
  ASSERT_TRUE(Cluster::WaitUntilReady(frontend));
  answer = client.Infer("linear", Cluster::Sample(1));
  EXPECT_EQ(answer.status, 200) << answer.error;
  EXPECT_EQ(answer.source, "exact");
  ExpectNear(answer.values, cluster.Want(Cluster::Sample(1)));
}

TEST(FrontendWorkersTest, AnswersBatchesAndRefusesWhatDoesNotFit) {
  Cluster cluster;
  cluster.AddWorker(Serves::kDeployed);
  cluster.StartWorkers();
  const ClusterFrontend frontend = cluster.StartFrontend(
      absl::StrCat(kNone, "    batching: {max_batch_size: 4}\n"));
  ASSERT_TRUE(Cluster::WaitUntilReady(frontend));
  InferClient client(frontend.http_port);
  std::vector<float> batch;
  std::vector<float> want;
  for (uint64_t row = 0; row < 4; ++row) {
    const std::vector<float> sample = Cluster::Sample(row);
    batch.insert(batch.end(), sample.begin(), sample.end());
    const std::vector<float> output = cluster.Want(sample);
    want.insert(want.end(), output.begin(), output.end());
  }
  const InferAnswer answer = client.Infer("linear", batch, {}, /*rows=*/4);
  EXPECT_EQ(answer.status, 200) << answer.error;
  ExpectNear(answer.values, want);

  InferAnswer refused = client.Infer("linear", {1, 2, 3});
  EXPECT_EQ(refused.status, 400);
  EXPECT_THAT(refused.error, HasSubstr("unexpected shape"));
  refused = client.Infer("other", Cluster::Sample(1));
  EXPECT_EQ(refused.status, 404);
  EXPECT_THAT(refused.error, HasSubstr("unknown model 'other'"));
  refused = client.Infer("linear", Cluster::Sample(1), {{"parm_mode", "wild"}});
  EXPECT_EQ(refused.status, 400);
  EXPECT_THAT(refused.error, HasSubstr("parm_mode"));
}

TEST(FrontendWorkersTest, PassesOnWhatAWorkerSaysOfItsFailure) {
  Cluster cluster;
  cluster.AddWorker(Serves::kDeployed);
  cluster.StartWorkers();
  const ClusterFrontend frontend = cluster.StartFrontend(kNone);
  ASSERT_TRUE(Cluster::WaitUntilReady(frontend));
  InferClient client(frontend.http_port);
  std::vector<float> sample = Cluster::Sample(1);
  sample[0] = LinearModelSpec::kErrorInput;
  const InferAnswer answer = client.Infer("linear", sample);
  EXPECT_EQ(answer.status, 500);
  EXPECT_THAT(answer.error, HasSubstr("parm-frontend: the worker failed"));
  EXPECT_THAT(answer.error, HasSubstr("asked to by its input"));
}

TEST(FrontendWorkersTest, ReconstructsWhatAStoppedWorkerOwes) {
  Cluster cluster;
  const size_t stopped = cluster.AddWorker(Serves::kDeployed);
  cluster.AddWorker(Serves::kDeployed);
  cluster.AddWorker(Serves::kParity);
  cluster.StartWorkers();
  const ClusterFrontend frontend = cluster.StartFrontend(kCoded);
  for (size_t i = 0; i < 3; ++i) {
    ASSERT_TRUE(
        Cluster::WaitForMetric(frontend, cluster.StateMetric(i, "up"), 1));
  }
  // Stopped, its connection stays open: only its answers are missing.
  cluster.SignalWorker(stopped, SIGSTOP);
  InferClient first(frontend.http_port);
  InferClient second(frontend.http_port);
  int reconstructed = 0;
  for (uint64_t i = 0; i < 4; ++i) {
    first.Send("linear", Cluster::Sample(2 * i), {{"parm_mode", "fast"}});
    second.Send("linear", Cluster::Sample(2 * i + 1), {{"parm_mode", "fast"}});
    for (uint64_t j = 0; j < 2; ++j) {
      const InferAnswer answer = (j == 0 ? first : second).Receive();
      EXPECT_EQ(answer.status, 200) << answer.error;
      EXPECT_THAT(answer.source, AnyOf("exact", "reconstructed"));
      reconstructed += answer.source == "reconstructed" ? 1 : 0;
      ExpectNear(answer.values, cluster.Want(Cluster::Sample(2 * i + j)));
    }
  }
  EXPECT_GE(reconstructed, 1);
  EXPECT_GE(
      MetricValue(
          Cluster::Metrics(frontend),
          "parm_queries_total{model=\"linear\",source=\"reconstructed\"}"),
      1);
}

TEST(FrontendWorkersTest, ComparesDecodesWithLateOriginals) {
  Cluster cluster;
  cluster.AddWorker(Serves::kDeployed, ", pace: {service: 1s}");
  cluster.AddWorker(Serves::kDeployed);
  cluster.AddWorker(Serves::kParity);
  cluster.StartWorkers();
  const ClusterFrontend frontend = cluster.StartFrontend(kCoded);
  for (size_t i = 0; i < 3; ++i) {
    ASSERT_TRUE(
        Cluster::WaitForMetric(frontend, cluster.StateMetric(i, "up"), 1));
  }
  InferClient first(frontend.http_port);
  InferClient second(frontend.http_port);
  for (uint64_t i = 0; i < 4; ++i) {
    first.Send("linear", Cluster::Sample(2 * i), {{"parm_mode", "fast"}});
    second.Send("linear", Cluster::Sample(2 * i + 1), {{"parm_mode", "fast"}});
    EXPECT_EQ(first.Receive().status, 200);
    EXPECT_EQ(second.Receive().status, 200);
  }
  // Work that has begun is not withdrawn: its answer tells how good the decode
  // was.
  ASSERT_TRUE(Cluster::WaitForMetric(
      frontend, "parm_quality_compared_total{model=\"linear\"}", 1));
  const std::string metrics = Cluster::Metrics(frontend);
  EXPECT_EQ(
      MetricValue(metrics, "parm_quality_agreed_total{model=\"linear\"}"),
      MetricValue(metrics, "parm_quality_compared_total{model=\"linear\"}"));
}

TEST(FrontendWorkersTest, LeavesOutAWorkerThatFallsSilent) {
  Cluster cluster;
  const size_t stopped = cluster.AddWorker(Serves::kDeployed);
  cluster.AddWorker(Serves::kDeployed);
  cluster.StartWorkers();
  const ClusterFrontend frontend =
      cluster.StartFrontend(kNone, "health: {heartbeat_timeout: 6s}\n");
  for (size_t i = 0; i < 2; ++i) {
    ASSERT_TRUE(
        Cluster::WaitForMetric(frontend, cluster.StateMetric(i, "up"), 1));
  }
  cluster.SignalWorker(stopped, SIGSTOP);
  ASSERT_TRUE(Cluster::WaitForMetric(
      frontend, cluster.StateMetric(stopped, "silent"), 1));
  ASSERT_TRUE(Cluster::WaitForMetric(
      frontend, "parm_worker_events_total{event=\"silent\"}", 1));
  InferClient client(frontend.http_port);
  for (uint64_t i = 0; i < 6; ++i) {
    const InferAnswer answer = client.Infer("linear", Cluster::Sample(i));
    EXPECT_EQ(answer.status, 200) << answer.error;
    EXPECT_EQ(answer.source, "exact");
  }
  cluster.SignalWorker(stopped, SIGCONT);
  EXPECT_TRUE(
      Cluster::WaitForMetric(frontend, cluster.StateMetric(stopped, "up"), 1));
}

TEST(FrontendWorkersTest, RefusesAParityBundleOfAnotherLineage) {
  Cluster cluster;
  cluster.AddWorker(Serves::kDeployed);
  cluster.AddWorker(Serves::kDeployed);
  cluster.AddWorker(Serves::kRetrainedParity);
  cluster.StartWorkers();
  const ClusterFrontend frontend = cluster.StartFrontend(kCoded);
  ASSERT_TRUE(Cluster::WaitForMetric(
      frontend, "parm_bundles_refused_total{reason=\"lineage\"}", 1));
  EXPECT_THAT(frontend.process->Log(),
              HasSubstr("it was made for deployed bundle"));
  ASSERT_TRUE(Cluster::WaitUntilReady(frontend));
  InferClient client(frontend.http_port);
  for (uint64_t i = 0; i < 4; ++i) {
    const InferAnswer answer = client.Infer("linear", Cluster::Sample(i));
    EXPECT_EQ(answer.status, 200) << answer.error;
    EXPECT_EQ(answer.source, "exact");
  }
  EXPECT_EQ(
      MetricValue(Cluster::Metrics(frontend),
                  "parm_tasks_total{model=\"linear\",attempt_type=\"parity\"}"),
      0);
}

TEST(FrontendWorkersTest, AnswersAllThatWasTakenWhenDrained) {
  Cluster cluster;
  const size_t worker = cluster.AddWorker(Serves::kDeployed);
  cluster.StartWorkers();
  const ClusterFrontend frontend = cluster.StartFrontend(kNone);
  ASSERT_TRUE(Cluster::WaitUntilReady(frontend));
  // Nothing is answered before the signal.
  cluster.SignalWorker(worker, SIGSTOP);
  constexpr uint64_t kClients = 4;
  std::vector<std::unique_ptr<InferClient>> clients;
  for (uint64_t i = 0; i < kClients; ++i) {
    clients.push_back(std::make_unique<InferClient>(frontend.http_port));
    clients[i]->Send("linear", Cluster::Sample(i));
  }
  ASSERT_TRUE(
      Cluster::WaitForMetric(frontend, "parm_queries_in_flight", kClients));
  frontend.process->Signal(SIGTERM);
  cluster.SignalWorker(worker, SIGCONT);
  for (uint64_t i = 0; i < kClients; ++i) {
    const InferAnswer answer = clients[i]->Receive();
    EXPECT_EQ(answer.status, 200) << answer.error;
    ExpectNear(answer.values, cluster.Want(Cluster::Sample(i)));
  }
  EXPECT_THAT(frontend.process->Wait(), IsOkAndHolds(0));
}

TEST(FrontendWorkersTest, EndsAtOnceOnASecondSignal) {
  Cluster cluster;
  cluster.AddWorker(Serves::kDeployed, ", pace: {service: 60s}");
  cluster.StartWorkers();
  const ClusterFrontend frontend =
      cluster.StartFrontend("    deadline: 300s\n");
  ASSERT_TRUE(Cluster::WaitUntilReady(frontend));
  InferClient client(frontend.http_port);
  client.Send("linear", Cluster::Sample(1));
  ASSERT_TRUE(Cluster::WaitForMetric(frontend, "parm_queries_in_flight", 1));
  frontend.process->Signal(SIGTERM);
  // A signal that is pending swallows a second one of its kind.
  frontend.process->Signal(SIGINT);
  EXPECT_THAT(frontend.process->Wait(), IsOkAndHolds(1));
}

TEST(FrontendWorkersTest, SaysThatItsPortIsTaken) {
  Cluster cluster;
  cluster.AddWorker(Serves::kDeployed);
  const ClusterFrontend first = cluster.StartFrontend(kNone);
  PARM_ASSERT_OK_AND_ASSIGN(
      const auto second,
      Process::Start({ProgramPath("parm-frontend"), "--config",
                      cluster.directory() / "frontend0.yaml", "--http-port",
                      absl::StrCat(first.http_port), "--allow-grpc=false",
                      "--metrics-port", "0"},
                     cluster.directory() / "second.log"));
  EXPECT_THAT(second->Wait(), IsOkAndHolds(1));
  EXPECT_THAT(second->Log(), HasSubstr(absl::StrCat(first.http_port)));
  EXPECT_THAT(second->Log(), HasSubstr("in use"));
}

}  // namespace
}  // namespace parm
