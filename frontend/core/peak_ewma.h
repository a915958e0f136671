#pragma once

// How long a worker takes, as Finagle's and Envoy's peak EWMA have it: a moving
// average of the times from dispatch to reply that follows a peak at once and
// forgets it with decay_time. Used by worker choice peak_ewma.

#include <algorithm>
#include <cmath>

#include "base/time.h"

namespace parm::core {

/// Threads: owned by one.
class PeakEwma {
 public:
  void OnAnswer(Time now, Duration took, Duration decay_time) {
    const double took_s = ToSeconds(took);
    if (took_s > value_s_) {
      value_s_ = took_s;
    } else {
      const double keep = KeepOf(now, decay_time);
      value_s_ = value_s_ * keep + took_s * (1 - keep);
    }
    measured_ = now;
  }

  /// In seconds; of a worker that never answered, `default_rtt`.
  double ValueAt(Time now, Duration decay_time, Duration default_rtt) const {
    if (measured_ == Time{}) return ToSeconds(default_rtt);
    return value_s_ * KeepOf(now, decay_time);
  }

 private:
  double KeepOf(Time now, Duration decay_time) const {
    const Duration age = std::max(Duration{0}, now - measured_);
    return std::exp(-ToSeconds(age) / ToSeconds(decay_time));
  }

  double value_s_ = 0;
  Time measured_{};
};

}  // namespace parm::core
