#pragma once

// Scheme `tile`: the parity query is the members shrunk into a grid in a
// picture of one query's size, as `concat`'s, but the parity model answers for
// each member by itself, [k, batch, ...], so that one answer covers any number
// of losses and waits for no sibling.

#include "encoder/scheme.h"

namespace parm {

/// k = 2..16, r = 1; FP32, FP16, BF16 and UINT8 members [batch, channels,
/// height, width] that divide into the grid of picture_grid.h.
extern const CodeScheme kTileScheme;

}  // namespace parm
