#pragma once

// The frames of a terminal reply, and what a corruption fault makes of them.

#include <cstdint>
#include <string>
#include <vector>

#include "backends/faults.h"
#include "backends/outbox.h"
#include "base/buffer.h"

namespace parm {

struct OutgoingReply {
  std::string envelope;
  std::vector<Buffer> tensors;
};

/// Needs: finished.bundle, if there are outputs. Outputs are shared, not
/// copied.
OutgoingReply BuildReply(const TaskFinished& finished, uint64_t instance_nonce);

/// Damages a reply; the same bits do the same damage. An error reply has no
/// tensors to damage: its envelope becomes garbage for every kind but kNone.
void CorruptReply(Corruption corruption, uint64_t bits, OutgoingReply* reply);

}  // namespace parm
