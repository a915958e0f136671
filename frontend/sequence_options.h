#pragma once

// The bounds of sequence_router.h; section `limits` of frontend.yaml.

#include <cstddef>

#include "base/time.h"

namespace parm {

struct SequenceOptions {
  size_t max_sequences = 4096;  // open or failed
  size_t max_waiting = 64;      // steps of one behind the one at its server
  /// A sequence is forgotten when it was not heard of for so long.
  Duration idle_timeout = Milliseconds(60'000);
};

}  // namespace parm
