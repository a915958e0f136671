#pragma once

// Scheme `sum`: ParM's addition code. The parity query is the sum of the
// members, the parity model answers the sum of their outputs, and a missing
// output is that answer minus the others.
//
// Source: Kosaian et al., "Parity Models", SOSP'19, section 3.

#include "encoder/scheme.h"

namespace parm {

/// k = 2..8, r = 1; FP32, FP16, BF16 and UINT8 members of any shape, batch
/// first.
extern const CodeScheme kSumScheme;

}  // namespace parm
