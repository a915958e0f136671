#pragma once

// The core's timers: an indexed four-way heap, so that a timer whose reason has
// gone is removed at once and the queue holds only live ones. Who asked is told
// by a kind and the index of a record; each record keeps its own handle.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/time.h"

namespace parm::core {

enum class TimerKind : uint8_t {
  kQueryDeadline,
  kBatchTimeout,
  kDecodeTrigger,
  kPolicy,
  kTaskEnd,
  kGroupTimeout,
  kGroupRelease,
  kWorker,
};

/// Names an armed timer; 0: not armed. Its owner alone holds it.
enum class TimerHandle : uint32_t {};

struct FiredTimer {
  TimerKind kind;
  uint32_t record;
};

class TimerQueue {
 public:
  /// Allocates for this many timers at once; more than that grow it.
  explicit TimerQueue(size_t expected);

  /// Arms, or moves and renames if it is armed. `*handle` belongs to the caller
  /// and must be set to TimerHandle{} when the timer fires.
  void Arm(TimerHandle* handle, Time at, TimerKind kind, uint32_t record);

  /// Harmless if it is not armed.
  void Disarm(TimerHandle* handle);

  /// Takes the earliest timer at or before `now`. False if there is none.
  bool PopDue(Time now, FiredTimer* fired);

  /// kNever if there is none.
  Time Earliest() const { return heap_.empty() ? kNever : heap_[0].at; }
  size_t size() const { return heap_.size(); }

 private:
  struct Entry {
    Time at;
    uint32_t node;
  };
  struct Node {
    uint32_t position = 0;  // in heap_; of a free node: the next free one
    uint32_t record = 0;
    TimerKind kind = TimerKind::kQueryDeadline;
  };

  void RemoveAt(size_t position);
  void SiftUp(size_t position, Entry entry);
  void SiftDown(size_t position, Entry entry);
  void Place(size_t position, Entry entry) {
    heap_[position] = entry;
    nodes_[entry.node].position = static_cast<uint32_t>(position);
  }

  std::vector<Entry> heap_;
  std::vector<Node> nodes_;
  uint32_t free_node_;
};

}  // namespace parm::core
