#pragma once

// A first look at an envelope frame that allocates nothing: version, counts and
// task id, also of frames that do not parse or belong to another version. Part
// of the wire codec; nothing else needs it.

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"

namespace parm::wire {

/// What could be read of a frame.
struct EnvelopeScan {
  bool well_formed = false;  // Every field of what is counted has its end.
  uint32_t version = 0;      // 0: none
  int num_messages = 0;      // fields of the oneof, known ones
  int num_bundles = 0;       // of a Hello
  int max_tensors = 0;       // longest list of specs
  int max_bins = 0;          // longest calibration table of a Hello's bundles
  int max_patterns = 0;      // most further tables of one of them
  uint64_t task_id = 0;      // of Infer, Started, Reply, Cancel; 0: none
};

/// Never fails: what cannot be read keeps its default.
/// Cost: one pass over the frame, no allocation.
EnvelopeScan ScanEnvelope(absl::Span<const std::byte> frame);

}  // namespace parm::wire
