#pragma once

// What an envelope must say beyond its schema: ids, digests, names, shapes and
// numbers within the bounds of proto/wire_codec.h. Part of the wire codec;
// nothing else needs it.

#include "absl/status/status.h"
#include "proto/envelope.pb.h"

namespace parm::wire {

/// Errors: kDataLoss, naming the field and what was got.
absl::Status CheckEnvelope(const Envelope& envelope);

}  // namespace parm::wire
