#pragma once

// The frontends that this worker knows, by the routing id of their connection.
// Bounded: a newcomer takes the place of the frontend that was silent longest
// and has no task here.

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "backends/task.h"
#include "base/time.h"

namespace parm {

struct Peer {
  PeerId id{};
  std::string routing_id;
  std::string frontend_id;  // from its hello
  Time last_heard;
  int64_t num_tasks = 0;  // taken, and not yet ended by a terminal reply
  bool greeted = false;   // said hello, so it gets heartbeats
};

/// Threads: one. Pointers hold until the next Touch or Remove.
class PeerTable {
 public:
  explicit PeerTable(size_t max_peers) : max_peers_(max_peers) {}

  /// The frontend of this connection, heard now; nullptr if it is not known
  /// and every known one has a task here.
  Peer* Touch(absl::string_view routing_id, Time now);

  /// nullptr if it has gone.
  Peer* Find(PeerId id);

  /// nullptr if it is not known. Does not count as hearing it.
  const Peer* FindByRoutingId(absl::string_view routing_id) const;

  void Remove(PeerId id);

  size_t size() const { return peers_.size(); }
  /// Order is unspecified.
  const absl::flat_hash_map<PeerId, Peer>& peers() const { return peers_; }

 private:
  const size_t max_peers_;
  uint64_t last_id_ = 0;
  absl::flat_hash_map<PeerId, Peer> peers_;
  absl::flat_hash_map<std::string, PeerId> by_routing_id_;
};

}  // namespace parm
