#pragma once

// Which queries a capture takes: a seeded share of them, but no more than so
// many a second. Pure; the frontend loop asks for each query of a model.

#include <cstdint>

#include "base/time.h"
#include "frontend/capture_options.h"

namespace parm {

/// Threads: one.
class CaptureSampler {
 public:
  explicit CaptureSampler(const CaptureOptions& options);

  /// Whether the next query belongs to the sample. Depends on the seed and on
  /// how often this was asked, on nothing else.
  bool Draw();

  /// Whether the rate allows one more; takes it if so. A second's worth, and at
  /// least one, may be saved up.
  /// Needs: `now` does not go back.
  bool Allow(Time now);

 private:
  // Constant after construction.
  const double share_;
  const double max_per_second_;
  const double most_saved_;
  const uint64_t seed_;

  uint64_t num_draws_ = 0;
  double saved_;  // queries that may be taken at once
  Time refilled_{};
};

}  // namespace parm
