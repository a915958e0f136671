#pragma once

// What another process has used so far, as Linux tells.

#include <cstdint>

#include "absl/status/statusor.h"
#include "base/time.h"

namespace parm {

struct ProcessUsage {
  /// On a CPU, all its threads, those that have ended too, to the nanosecond.
  Duration cpu{0};
  int64_t resident_bytes = 0;
};

/// Errors: kNotFound if there is no such process.
absl::StatusOr<ProcessUsage> ReadProcessUsage(int64_t process_id);

}  // namespace parm
