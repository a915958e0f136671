#pragma once

// Random draws that depend on their key alone: (seed, worker id, luck, what is
// drawn), where a task's luck names the query and copy that it carries. Order
// of arrival, lanes, threads and task ids do not change them, so a query meets
// the same luck at a worker under every policy. Pacing and faults draw here.

#include <cstdint>

#include "absl/strings/string_view.h"
#include "base/ids.h"

namespace parm {

/// What is drawn. Values enter the hash: never renumber.
enum class DrawKind : uint32_t {
  kServiceTime = 1,
  kSlowJob = 2,
  kReplyDelay = 3,
  kDrop = 4,
  kDuplicate = 5,
  kCorrupt = 6,
  kCorruptionKind = 7,
  kError = 8,
  kCorruptBytes = 9,
};

/// Threads: const, any thread.
class KeyedDraws {
 public:
  KeyedDraws(uint64_t seed, absl::string_view worker_id);

  /// 64 well mixed bits. `index` tells draws of one kind apart.
  uint64_t Bits(Luck luck, DrawKind kind, uint32_t index) const;

  /// Uniform in [0, 1).
  double Uniform(Luck luck, DrawKind kind, uint32_t index) const;

  /// Standard normal, clipped to [-3, 3].
  double ClippedNormal(Luck luck, DrawKind kind) const;

 private:
  const uint64_t key_;
};

}  // namespace parm
