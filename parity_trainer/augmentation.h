#pragma once

// Small random changes of training pictures, so that a network does not learn
// them by heart. They are made before encoding, as if the member itself had
// come so.

#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "parity_trainer/host_tensor.h"

namespace parm {

struct Augmentation {
  int64_t shift = 0;    // by up to so many pixels each way; what is gone is 0
  bool mirror = false;  // left to right, every other picture

  bool empty() const { return shift == 0 && !mirror; }
};

/// Errors: kInvalidArgument unless samples of this shape are [channels, height,
/// width] and the shift is shorter than their sides.
absl::Status CheckAugmentation(const Augmentation& augmentation,
                               absl::Span<const int64_t> sample_shape);

/// Changes each picture of [batch, channels, height, width] in place, as `seed`
/// alone decides.
/// Needs: CheckAugmentation took the shape.
void Augment(const Augmentation& augmentation, uint64_t seed,
             HostTensor* samples);

}  // namespace parm
