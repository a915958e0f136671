#pragma once

// Scheme `pack`: the parity query is the members side by side on the batch
// axis, so the parity model (the deployed model itself, or one distilled from
// it) answers each of them. With k = 1 it is replication.

#include "encoder/scheme.h"

namespace parm {

/// k = 1..16, r = 1; members of any datatype of fixed size, batch first. A
/// short group makes a smaller batch.
extern const CodeScheme kPackScheme;

}  // namespace parm
