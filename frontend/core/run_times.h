#pragma once

// How long a copy runs, of one model and batch size: from when its worker began
// with it to its reply, so that waiting in line does not count and extra work
// does not look like slow workers. It tells after how long a copy that has
// begun is late, and how many are stragglers. Stragglers do not take part in
// what is late: however many there are, they cannot move it.
// docs/policies/hybrid.md

#include <optional>

#include "base/time.h"
#include "frontend/core/time_counts.h"

namespace parm::core {

/// Threads: owned by one.
class RunTimes {
 public:
  /// From this multiple of the median on, a copy is a straggler.
  static constexpr double kStraggler = 2;

  struct Estimate {
    /// Quantile of the runs that are no stragglers.
    Duration late{0};
    double straggler_share = 0;
  };

  explicit RunTimes(double quantile) : quantile_(quantile) {}

  /// A copy's answer came.
  void Replied(Duration run) { Record(run); }

  /// It ended without an answer after that: it counts if that is long.
  void Ended(Duration run);

  /// nullopt while too few runs are known.
  const std::optional<Estimate>& estimate() const { return estimate_; }

 private:
  static constexpr uint32_t kMinSamples = 32;
  static constexpr uint32_t kWindow = 1024;
  static constexpr uint32_t kRefresh = 32;

  void Record(Duration run);
  void Refresh();

  double quantile_;
  RecentTimes times_{kWindow};
  uint32_t since_refresh_ = 0;
  Duration median_{0};
  std::optional<Estimate> estimate_;
};

}  // namespace parm::core
