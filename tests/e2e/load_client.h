#pragma once

// Closed-loop load on a Cluster's frontend: clients that check every answer
// while a test breaks things under them.

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/e2e/cluster.h"

namespace parm {

/// What happened to the queries of one client.
struct Tally {
  int exact = 0;  // hedged ones included
  int reconstructed = 0;
  int wrong_values = 0;
  std::vector<std::string> failures;  // errors and default answers

  int total() const {
    return exact + reconstructed + static_cast<int>(failures.size());
  }
};

/// Asks until told to stop; each query waits for the one before.
/// Threads: made, counted and stopped by one; asks on its own.
class LoadClient {
 public:
  /// `cluster` outlives the client.
  LoadClient(const Cluster& cluster, uint16_t port, uint64_t seed);
  ~LoadClient();
  LoadClient(const LoadClient&) = delete;
  LoadClient& operator=(const LoadClient&) = delete;

  int num_asked() const { return num_asked_; }
  const Tally& Stop();

 private:
  void Run(const Cluster& cluster, uint16_t port, uint64_t seed);
  void Count(const std::string& source);
  void Check(const std::vector<float>& got, const std::vector<float>& want);

  // Shared with the test's thread, which only counts and stops.
  std::atomic<bool> stop_{false};
  std::atomic<int> num_asked_{0};
  Tally tally_;  // the client's until Stop
  std::thread thread_;
};

using LoadClients = std::vector<std::unique_ptr<LoadClient>>;

/// Waits until each has asked `more` queries, or for Process::kPatience; false
/// then.
bool AwaitQueries(const LoadClients& clients, int more);

}  // namespace parm
