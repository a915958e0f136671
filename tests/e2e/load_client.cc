#include "tests/e2e/load_client.h"

#include <chrono>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "tests/support/infer_client.h"
#include "tests/support/process.h"

namespace parm {

LoadClient::LoadClient(const Cluster& cluster, uint16_t port, uint64_t seed)
    : thread_([this, &cluster, port, seed] { Run(cluster, port, seed); }) {}

LoadClient::~LoadClient() {
  if (thread_.joinable()) Stop();
}

const Tally& LoadClient::Stop() {
  stop_ = true;
  thread_.join();
  return tally_;
}

void LoadClient::Run(const Cluster& cluster, uint16_t port, uint64_t seed) {
  InferClient client(port);
  while (!stop_) {
    const std::vector<float> sample =
        Cluster::Sample(seed + static_cast<uint64_t>(num_asked_));
    const InferAnswer answer = client.Infer("linear", sample);
    if (answer.status != 200) {
      tally_.failures.push_back(absl::StrCat(answer.status, " ", answer.error));
    } else {
      Count(answer.source);
      Check(answer.values, cluster.Want(sample));
    }
    ++num_asked_;
    // The pool stays near half load however fast it answers.
    std::this_thread::sleep_for(std::chrono::milliseconds(8));
  }
}

// A default answer is what the frontend gives at a missed deadline.
void LoadClient::Count(const std::string& source) {
  if (source == "exact" || source == "hedged") {
    ++tally_.exact;
  } else if (source == "reconstructed") {
    ++tally_.reconstructed;
  } else {
    tally_.failures.push_back(absl::StrCat("answered from ", source));
  }
}

void LoadClient::Check(const std::vector<float>& got,
                       const std::vector<float>& want) {
  bool near = got.size() == want.size();
  for (size_t i = 0; near && i < got.size(); ++i) {
    near = std::abs(got[i] - want[i]) <= 1e-4F;
  }
  if (!near) ++tally_.wrong_values;
}

bool AwaitQueries(const LoadClients& clients, int more) {
  std::vector<int> want;
  for (const auto& client : clients) {
    want.push_back(client->num_asked() + more);
  }
  const auto give_up = std::chrono::steady_clock::now() + Process::kPatience;
  for (size_t i = 0; i < clients.size(); ++i) {
    while (clients[i]->num_asked() < want[i]) {
      if (std::chrono::steady_clock::now() >= give_up) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
  return true;
}

}  // namespace parm
