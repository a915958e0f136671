#pragma once

// What became of configurations that were read while queries were served.

#include <cstdint>

namespace parm {

/// parm_config_reloads_total, by outcome.
struct ReloadCounters {
  uint64_t applied = 0;
  uint64_t refused = 0;    // the file, or what cannot change while running
  uint64_t not_ready = 0;  // the workers did not come in time
};

}  // namespace parm
