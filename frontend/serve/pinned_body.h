#pragma once

// Whether the inputs of a request are worth the body they came in. They are
// slices of it, and a slice keeps the whole body alive while only its own bytes
// are counted against limits.max_buffered_bytes.

#include <vector>

#include "base/buffer.h"
#include "proto/oip/messages.h"

namespace parm {

/// Copies the inputs that lie in `storage` out of it if together they are less
/// than half of it: what is counted is then at least half of what is held.
void UnpinBody(const Buffer& storage, std::vector<oip::Tensor>* inputs);

}  // namespace parm
