#pragma once

// One task between the worker loop that took it off the wire, the queue, and
// the lane that computes it.

#include <cstdint>
#include <utility>
#include <vector>

#include "backends/model.h"
#include "base/ids.h"
#include "base/time.h"

namespace parm {

class ServedBundle;

/// A frontend's connection, as this worker numbers them; never reused.
enum class PeerId : uint64_t {};

/// Task ids are unique per frontend only.
struct TaskKey {
  PeerId peer{};
  TaskId task{};

  bool operator==(const TaskKey&) const = default;
  template <typename H>
  friend H AbslHashValue(H hash, const TaskKey& key) {
    return H::combine(std::move(hash), key.peer, key.task);
  }
};

/// 0 ordinary, 1 redundant: a redundant task starts only when no ordinary one
/// waits.
inline constexpr int kNumPriorities = 2;

struct Task {
  TaskKey key;
  Luck luck{};  // what its draws of pace and faults are keyed by
  const ServedBundle* bundle = nullptr;  // outlives every task
  uint8_t priority = 0;                  // below kNumPriorities
  Time arrived;
  Time expires = kNever;  // nobody wants the answer from here on
  std::vector<ModelTensor> inputs;
};

}  // namespace parm
