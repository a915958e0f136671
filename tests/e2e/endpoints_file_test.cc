// A frontend whose model servers are listed in a file, which is edited while
// clients ask and servers die.

#include <signal.h>

#include <cstdlib>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/cluster.h"
#include "tests/e2e/load_client.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

constexpr char kJoined[] = "parm_server_set_changes_total{event=\"joined\"}";
constexpr char kLeft[] = "parm_server_set_changes_total{event=\"left\"}";
constexpr char kRefused[] = "parm_endpoints_files_total{outcome=\"refused\"}";

uint16_t PortOf(const std::string& address) {
  return static_cast<uint16_t>(
      std::atoi(address.substr(address.rfind(':') + 1).c_str()));
}

// Unchanged model servers, and a frontend that knows the file alone.
class EndpointsFileTest : public ::testing::Test {
 protected:
  void StartServer() {
    const size_t index = cluster_.AddWorker(Cluster::Serves::kDeployed,
                                            ", pace: {service: 5ms}");
    PARM_ASSERT_OK_AND_ASSIGN(
        std::unique_ptr<Process> server,
        Process::Start({ProgramPath("parm-test-worker"), "--config",
                        cluster_.worker(index).config_path, "--http-port", "0"},
                       Path(absl::StrCat("server", index, ".log"))));
    PARM_ASSERT_OK_AND_ASSIGN(const std::string line,
                              server->WaitForLine("parm-worker ready"));
    ports_.push_back(PortOf(FieldOf(line, "http")));
    servers_.push_back(std::move(server));
  }

  void List(std::initializer_list<size_t> indices) {
    std::string text = "# servers of model linear\n";
    for (const size_t index : indices) {
      // The last by its name, for which the system's resolver is asked.
      absl::StrAppend(&text, "http://", index == 3 ? "localhost" : "127.0.0.1",
                      ":", ports_.at(index), "\n");
    }
    WriteFile(Path("servers.txt"), text);
  }

  void StartFrontend() {
    frontend_.config_path = Path("frontend.yaml");
    WriteFile(frontend_.config_path,
              "workers: [{endpoints_file: servers.txt, max_servers: 3}]\n"
              "models: [{name: linear, deadline: 50s}]\n"
              "health: {heartbeat_timeout: 60s}\n");
    PARM_ASSERT_OK_AND_ASSIGN(
        frontend_.process,
        Process::Start(
            {ProgramPath("parm-frontend"), "--config", frontend_.config_path,
             "--http-port", "0", "--allow-grpc=false", "--metrics-port", "0"},
            Path("frontend.log")));
    PARM_ASSERT_OK_AND_ASSIGN(
        const std::string line,
        frontend_.process->WaitForLine("parm-frontend ready"));
    frontend_.http_port = PortOf(FieldOf(line, "http"));
    frontend_.metrics_port = PortOf(FieldOf(line, "metrics"));
    ASSERT_TRUE(Cluster::WaitUntilReady(frontend_));
  }

  bool Await(const std::string& metric, double value) {
    return Cluster::WaitForMetric(frontend_, metric, value);
  }
  std::string Path(const std::string& name) {
    return cluster_.directory() / name;
  }

  Cluster cluster_;
  std::vector<std::unique_ptr<Process>> servers_;
  std::vector<uint16_t> ports_;
  ClusterFrontend frontend_;
};

TEST_F(EndpointsFileTest, LosesNoQueryWhileServersComeAndGo) {
  for (int i = 0; i < 4; ++i) ASSERT_NO_FATAL_FAILURE(StartServer());
  List({0, 1});
  ASSERT_NO_FATAL_FAILURE(StartFrontend());
  LoadClients clients;
  for (uint64_t i = 0; i < 3; ++i) {
    clients.push_back(
        std::make_unique<LoadClient>(cluster_, frontend_.http_port, 1000 * i));
  }
  ASSERT_TRUE(AwaitQueries(clients, 10));
  List({1, 2});
  ASSERT_TRUE(Await(kLeft, 1));
  ASSERT_TRUE(AwaitQueries(clients, 10));
  // One dies, and another is listed in its place.
  servers_[1]->Signal(SIGKILL);
  ASSERT_TRUE(AwaitQueries(clients, 10));
  List({2, 3});
  ASSERT_TRUE(Await(kLeft, 2));
  ASSERT_TRUE(AwaitQueries(clients, 10));
  WriteFile(Path("servers.txt"), "# a mistake\n127.0.0.1:8000\n");
  ASSERT_TRUE(Await(kRefused, 1));
  // The whole set at once.
  List({0});
  ASSERT_TRUE(Await(kLeft, 4));
  ASSERT_TRUE(AwaitQueries(clients, 10));
  int answered = 0;
  for (const auto& client : clients) {
    const Tally& tally = client->Stop();
    EXPECT_THAT(tally.failures, ::testing::IsEmpty());
    EXPECT_EQ(tally.wrong_values, 0);
    answered += tally.exact;
  }
  const std::string metrics = Cluster::Metrics(frontend_);
  EXPECT_EQ(
      MetricValue(metrics,
                  "parm_queries_total{model=\"linear\",source=\"exact\"}"),
      answered);
  EXPECT_EQ(MetricValue(metrics, kJoined), 5);
  EXPECT_EQ(
      MetricValue(metrics, absl::StrCat("parm_worker_state{worker=\"http://"
                                        "127.0.0.1:",
                                        ports_[0], "\",state=\"up\"}")),
      1);
  EXPECT_THAT(metrics, ::testing::Not(::testing::HasSubstr(
                           absl::StrCat("127.0.0.1:", ports_[2], "\""))))
      << "whoever has left is shown no more";
  EXPECT_THAT(frontend_.process->Log(),
              ::testing::HasSubstr("servers.txt:2: got \"127.0.0.1:8000\""));
  frontend_.process->Signal(SIGTERM);
  EXPECT_THAT(frontend_.process->Wait(), IsOkAndHolds(0));
}

}  // namespace
}  // namespace parm
