#pragma once

// What is going to happen in the simulated world, earliest first; of two things
// at the same time the one that was planned first.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/time.h"

namespace parm::sim {

enum class Happening : uint8_t {
  kArrival,
  kClientLeaves,
  kTaskAtWorker,
  kCancelAtWorker,
  kProbeAtWorker,
  kServiceDone,
  kHeartbeat,
  kIncident,
  kIncidentOver,
  kReplyAtFrontend,
  kStartedAtFrontend,
  kHeardAtFrontend,
  kDrainingAtFrontend,
  kDownAtFrontend,
  kHelloAtFrontend,
  kNotSentAtFrontend,
  kEncoded,
  kDecoded,
  kCompared,
  kPhase,
};

/// Which fields mean something depends on what happens.
struct SimEvent {
  Time at{};
  uint64_t order = 0;
  Happening what{};
  uint8_t small = 0;
  uint32_t worker = 0;
  uint32_t buffer = 0;
  uint32_t epoch = 0;
  uint64_t id = 0;
  uint64_t content = 0;
  Duration service{0};
};

class EventQueue {
 public:
  void Push(SimEvent event) {
    event.order = ++order_;
    heap_.push_back(event);
    std::push_heap(heap_.begin(), heap_.end(), Later{});
  }
  bool empty() const { return heap_.empty(); }
  const SimEvent& top() const { return heap_.front(); }
  SimEvent Pop() {
    std::pop_heap(heap_.begin(), heap_.end(), Later{});
    const SimEvent event = heap_.back();
    heap_.pop_back();
    return event;
  }

 private:
  struct Later {
    bool operator()(const SimEvent& a, const SimEvent& b) const {
      return a.at != b.at ? a.at > b.at : a.order > b.order;
    }
  };
  std::vector<SimEvent> heap_;
  uint64_t order_ = 0;
};

}  // namespace parm::sim
