#include "backends/peer_table.h"

#include <string>
#include <utility>

namespace parm {

Peer* PeerTable::Touch(absl::string_view routing_id, Time now) {
  const auto known = by_routing_id_.find(routing_id);
  if (known != by_routing_id_.end()) {
    Peer* const peer = &peers_.at(known->second);
    peer->last_heard = now;
    return peer;
  }
  if (peers_.size() >= max_peers_) {
    const Peer* oldest = nullptr;
    for (const auto& [id, peer] : peers_) {
      if (peer.num_tasks > 0) continue;
      if (oldest == nullptr || peer.last_heard < oldest->last_heard) {
        oldest = &peer;
      }
    }
    if (oldest == nullptr) return nullptr;
    Remove(oldest->id);
  }
  const PeerId id{++last_id_};
  by_routing_id_.emplace(std::string(routing_id), id);
  return &peers_
              .emplace(id, Peer{.id = id,
                                .routing_id = std::string(routing_id),
                                .last_heard = now})
              .first->second;
}

Peer* PeerTable::Find(PeerId id) {
  const auto found = peers_.find(id);
  return found == peers_.end() ? nullptr : &found->second;
}

const Peer* PeerTable::FindByRoutingId(absl::string_view routing_id) const {
  const auto found = by_routing_id_.find(routing_id);
  return found == by_routing_id_.end() ? nullptr : &peers_.at(found->second);
}

void PeerTable::Remove(PeerId id) {
  const auto found = peers_.find(id);
  if (found == peers_.end()) return;
  by_routing_id_.erase(found->second.routing_id);
  peers_.erase(found);
}

}  // namespace parm
