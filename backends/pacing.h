#pragma once

// How long a paced bundle keeps its lane busy: the stand-in for an accelerator
// on a machine that has none. The answer is computed by the real model; only
// the time until it may leave is drawn here.

#include <cstdint>

#include "backends/keyed_draws.h"
#include "base/ids.h"
#include "base/time.h"

namespace parm {

struct PaceOptions {
  /// Mean time of a task with one sample.
  Duration service{0};
  /// Standard deviation over mean; the draw is clipped to +-3 of it.
  double spread = 0;
  /// Mean time of each further sample of the batch.
  Duration per_extra_sample{0};
};

/// Service time of one task. The whole task shares one draw.
/// Needs: batch_size >= 1.
Duration DrawServiceTime(const PaceOptions& pace, const KeyedDraws& draws,
                         Luck luck, int64_t batch_size);

}  // namespace parm
