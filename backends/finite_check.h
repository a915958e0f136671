#pragma once

// Whether a tensor holds NaN or infinity. A worker counts such tensors; a
// decoder refuses them.

#include "absl/types/span.h"
#include "base/tensor.h"

namespace parm {

/// True for every datatype that is not a floating-point one.
/// Cost: one pass over the bytes; no alignment is assumed.
bool AllFinite(DataType datatype, absl::Span<const std::byte> bytes);

}  // namespace parm
