#pragma once

// Scheme `concat`: ParM's code for pictures. The parity query is the members
// shrunk and laid side by side in a picture of one query's size; the parity
// model answers the sum of the members' outputs, decoded as scheme `sum`.
//
// Source: the encoder that the authors' repository recommends for images since
// 2021 (Thesys-lab/parity-models).

#include "encoder/scheme.h"

namespace parm {

/// k = 2 (side by side, half as wide) or 4 (2 x 2), r = 1; FP32, FP16, BF16
/// and UINT8 members [batch, channels, height, width] that divide so.
extern const CodeScheme kConcatScheme;

}  // namespace parm
