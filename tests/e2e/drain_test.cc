// A frontend that is told to go while clients ask: no query is lost. What it
// took it answers; what comes meanwhile is told to go elsewhere; only then does
// the port close, and never in the middle of a reply.

#include <signal.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/cluster.h"
#include "tests/support/infer_client.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using Serves = Cluster::Serves;

constexpr char kModel[] =
    "    deadline: 100s\n"
    "    redundancy: {policy: coded, code: {scheme: sum, k: 2}}\n";

/// Asks until the frontend has gone, as a client with one connection does: at
/// the end of a connection it takes another.
class DrainClient {
 public:
  DrainClient(const Cluster& cluster, uint16_t port, uint64_t seed,
              bool keeps_connection)
      : thread_([this, &cluster, port, seed, keeps_connection] {
          Run(cluster, port, seed, keeps_connection);
        }) {}
  ~DrainClient() {
    if (thread_.joinable()) thread_.join();
  }

  void Join() { thread_.join(); }
  int num_answered() const { return num_answered_; }
  const std::vector<std::string>& wrong() const { return wrong_; }

 private:
  void Run(const Cluster& cluster, uint16_t port, uint64_t seed,
           bool keeps_connection) {
    std::unique_ptr<InferClient> client;
    bool is_new = true;
    while (true) {
      if (client == nullptr || !keeps_connection) {
        if (!RawHttpClient(port).connected()) return;
        client = std::make_unique<InferClient>(port);
        is_new = true;
      }
      const std::vector<float> sample = Cluster::Sample(++seed);
      const InferAnswer answer = client->Infer("linear", sample);
      if (answer.status == 200) {
        ++num_answered_;
        if (answer.values != cluster.Want(sample)) wrong_.push_back("values");
      } else if (answer.status == 0) {
        // The end of a connection that was idle, as HTTP has it: nothing of a
        // reply has come, and the query is asked again. Not of a new one.
        if (is_new && RawHttpClient(port).connected()) {
          wrong_.push_back("a new connection ended without a reply");
        }
        client = nullptr;
        continue;
      } else if (answer.status != 503 ||
                 !absl::StrContains(answer.error, "shutting down")) {
        wrong_.push_back(answer.error);
      }
      is_new = false;
      const auto connection = answer.headers.find("connection");
      if (connection != answer.headers.end()) client = nullptr;
    }
  }

  std::atomic<int> num_answered_{0};
  std::vector<std::string> wrong_;  // the thread's until Join
  std::thread thread_;
};

TEST(DrainTest, LosesNoQueryWhenToldToGoUnderLoad) {
  Cluster cluster;
  for (int i = 0; i < 2; ++i) {
    cluster.AddWorker(Serves::kDeployed, ", pace: {service: 5ms}");
  }
  cluster.AddWorker(Serves::kParity, ", pace: {service: 5ms}");
  cluster.StartWorkers();
  const ClusterFrontend frontend = cluster.StartFrontend(kModel);
  ASSERT_TRUE(Cluster::WaitUntilReady(frontend));
  std::vector<std::unique_ptr<DrainClient>> clients;
  for (uint64_t i = 0; i < 6; ++i) {
    clients.push_back(std::make_unique<DrainClient>(
        cluster, frontend.http_port, 1000 * i, /*keeps_connection=*/i < 4));
  }
  for (const auto& client : clients) {
    while (client->num_answered() < 10) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  frontend.process->Signal(SIGTERM);
  EXPECT_THAT(frontend.process->Wait(), IsOkAndHolds(0));
  for (const auto& client : clients) {
    client->Join();
    EXPECT_THAT(client->wrong(), ::testing::IsEmpty());
  }
}

}  // namespace
}  // namespace parm
