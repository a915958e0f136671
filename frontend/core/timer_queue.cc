#include "frontend/core/timer_queue.h"

#include <algorithm>
#include <limits>

namespace parm::core {

namespace {
constexpr size_t kFanOut = 4;
constexpr uint32_t kNoNode = std::numeric_limits<uint32_t>::max();

// Handle 0 means "not armed".
TimerHandle HandleOf(uint32_t node) { return TimerHandle{node + 1}; }
uint32_t NodeOf(TimerHandle handle) {
  return static_cast<uint32_t>(handle) - 1;
}
}  // namespace

TimerQueue::TimerQueue(size_t expected) : free_node_(kNoNode) {
  heap_.reserve(expected);
  nodes_.reserve(expected);
}

void TimerQueue::Arm(TimerHandle* handle, Time at, TimerKind kind,
                     uint32_t record) {
  if (*handle != TimerHandle{}) {
    const uint32_t node = NodeOf(*handle);
    nodes_[node].kind = kind;
    nodes_[node].record = record;
    const size_t position = nodes_[node].position;
    const Time before = heap_[position].at;
    if (at < before) {
      SiftUp(position, {at, node});
    } else {
      SiftDown(position, {at, node});
    }
    return;
  }
  uint32_t node = free_node_;
  if (node == kNoNode) {
    node = static_cast<uint32_t>(nodes_.size());
    nodes_.emplace_back();
  } else {
    free_node_ = nodes_[node].position;
  }
  nodes_[node] = {.record = record, .kind = kind};
  heap_.emplace_back();
  SiftUp(heap_.size() - 1, {at, node});
  *handle = HandleOf(node);
}

void TimerQueue::Disarm(TimerHandle* handle) {
  if (*handle == TimerHandle{}) return;
  RemoveAt(nodes_[NodeOf(*handle)].position);
  *handle = TimerHandle{};
}

bool TimerQueue::PopDue(Time now, FiredTimer* fired) {
  if (heap_.empty() || heap_[0].at > now) return false;
  const Node& node = nodes_[heap_[0].node];
  *fired = {.kind = node.kind, .record = node.record};
  RemoveAt(0);
  return true;
}

void TimerQueue::RemoveAt(size_t position) {
  const uint32_t node = heap_[position].node;
  nodes_[node].position = free_node_;
  free_node_ = node;
  const Entry last = heap_.back();
  heap_.pop_back();
  if (position == heap_.size()) return;
  if (position > 0 && last.at < heap_[(position - 1) / kFanOut].at) {
    SiftUp(position, last);
  } else {
    SiftDown(position, last);
  }
}

void TimerQueue::SiftUp(size_t position, Entry entry) {
  while (position > 0) {
    const size_t parent = (position - 1) / kFanOut;
    if (heap_[parent].at <= entry.at) break;
    Place(position, heap_[parent]);
    position = parent;
  }
  Place(position, entry);
}

void TimerQueue::SiftDown(size_t position, Entry entry) {
  for (;;) {
    const size_t first = position * kFanOut + 1;
    if (first >= heap_.size()) break;
    size_t least = first;
    const size_t end = std::min(first + kFanOut, heap_.size());
    for (size_t child = first + 1; child < end; ++child) {
      if (heap_[child].at < heap_[least].at) least = child;
    }
    if (heap_[least].at >= entry.at) break;
    Place(position, heap_[least]);
    position = least;
  }
  Place(position, entry);
}

}  // namespace parm::core
