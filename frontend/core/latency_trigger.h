#pragma once

// When is a query late? The time from dispatch to reply of each copy, of one
// model and batch size, gives the delays after which a held reconstruction may
// be released and a hedge is sent. Built so that slow modes cannot push them up
// without end:
//  - each copy's own time counts, never the winner's, so that what the trigger
//    causes does not feed back into it;
//  - a copy that is still out counts by its age, a cancelled or lost one by the
//    age at which it ended, if that is above the median (below, it says
//    nothing);
//  - a delay is at most 3 x median, and where the quantile is above that, it is
//    the quantile of the copies below: a slow mode that holds more than
//    1 - quantile of the copies cannot become the delay.
// Source: reference/tail-lessons.md 1, codes.md 7.1.

#include <cstdint>
#include <optional>

#include "base/time.h"
#include "frontend/core/intrusive_list.h"
#include "frontend/core/time_counts.h"

namespace parm::core {

/// Threads: owned by one.
class LatencyTrigger {
 public:
  /// The part of a copy's record that the trigger watches.
  struct Copy {
    Time dispatched{};
    Link<Copy> link;
  };

  /// Fewer samples than this give no delay.
  static constexpr uint32_t kMinSamples = 32;

  struct Quantiles {
    double decode = 0.90;  // 0..1
    double hedge = 0.95;
  };
  /// From dispatch to lateness, and the middle of all.
  struct Delays {
    Duration decode{0};
    Duration hedge{0};
    Duration median{0};
  };

  explicit LatencyTrigger(Quantiles quantiles) : quantiles_(quantiles) {}

  void Dispatched(Copy& copy, Time now);
  /// The copy's answer came.
  void Replied(Copy& copy, Time now);
  /// The copy ended without an answer: cancelled, lost or refused.
  void Ended(Copy& copy, Time now);

  /// Of all times known when it was last asked for the delays; 0: too few.
  Duration median() const { return median_; }

  /// nullopt while too few samples are known.
  /// Cost: every 32nd sample a pass over the buckets and the oldest copies out.
  const std::optional<Delays>& DelaysAt(Time now);

 private:
  static constexpr uint32_t kWindow = 2048;
  static constexpr uint32_t kRefresh = 32;
  static constexpr int kMedianFactor = 3;
  static constexpr int kMaxCopiesLookedAt = 1024;

  void Record(Duration value);
  void Refresh(Time now);

  const Quantiles quantiles_;
  IntrusiveList<Copy, &Copy::link> out_;  // oldest first
  RecentTimes times_{kWindow};
  uint32_t since_refresh_ = 0;
  Duration median_{0};
  std::optional<Delays> delays_;
};

}  // namespace parm::core
