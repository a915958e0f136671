#pragma once

// Scheme `stack`: the parity query is the members one behind the other on the
// first axis after the batch (a picture's channels, a vector's features), at
// full size, k times a query's bytes; the parity model answers for each member
// by itself, [k, batch, ...].

#include "encoder/scheme.h"

namespace parm {

/// k = 2..16, r = 1; members of any datatype of fixed size, with at least one
/// axis after the batch. A short group repeats its members round robin, so that
/// the parity model always sees k.
extern const CodeScheme kStackScheme;

}  // namespace parm
