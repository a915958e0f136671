#pragma once

// Processes that train one network together, each on its share of every
// minibatch. Between two steps they add up their gradients here. Alone in the
// world, a process has none of this.

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace parm {

/// What any launcher of torch programs states in the environment: RANK,
/// WORLD_SIZE, MASTER_ADDR, MASTER_PORT.
struct PeerOptions {
  int rank = 0;  // of 0 .. num_peers-1; rank 0 writes checkpoints and bundles
  int num_peers = 1;
  std::string address;  // of rank 0
  uint16_t port = 0;
  /// The launcher holds the port itself, and rank 0 must not listen there.
  bool launcher_listens = false;
};

/// One process where WORLD_SIZE is not there or 1.
/// Errors: kInvalidArgument, naming the variable, if WORLD_SIZE says more and
/// another is missing or makes no sense.
absl::StatusOr<PeerOptions> PeerOptionsFromEnvironment();

/// Every call is made by all peers in the same order, with as many values.
/// Threads: one at a time.
/// Errors: of every call: kUnavailable if a peer has gone, or has not come to
///         the same call within a minute; the others are told the same.
class TrainingPeers {
 public:
  virtual ~TrainingPeers() = default;

  int rank() const { return rank_; }
  int size() const { return size_; }
  bool leads() const { return rank_ == 0; }

  /// Waits for the others, who may have longer work before them: ten minutes.
  virtual absl::Status Meet() = 0;
  /// Adds up values over the peers, in place; all get the very same sums.
  virtual absl::Status Sum(absl::Span<float> values) = 0;
  /// Rank 0's bytes, at every peer.
  virtual absl::Status Broadcast(std::string* bytes) = 0;

 protected:
  TrainingPeers(int rank, int size) : rank_(rank), size_(size) {}

 private:
  const int rank_;
  const int size_;
};

/// Connects all peers with each other; nullptr for one process. Nothing is
/// encrypted and nobody is asked who he is: for networks that are trusted.
/// Listens on loopback alone where rank 0's address is loopback. From then on
/// the process ignores SIGPIPE.
/// Errors: kUnavailable if they have not all come within a minute;
///         kUnimplemented if this program was built without Gloo.
absl::StatusOr<std::unique_ptr<TrainingPeers>> JoinPeers(
    const PeerOptions& options);

}  // namespace parm
