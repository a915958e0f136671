#pragma once

// How slow a worker is beside the others, as its answers tell: step [4] of a
// query's life asks before it picks one. An answer's time is compared with the
// median of its kind, so that models, batch sizes and hardware need no
// settings.
//
// One slow job says nothing about its worker, as any job may be slow. Two in a
// row are believed. What is believed fades, so that a worker which gets no work
// for it comes back; each time that it is confirmed it fades more slowly, so
// that a slow worker is tried ever more seldom. One answer in time clears it.

#include <algorithm>
#include <cmath>

#include "base/time.h"

namespace parm::core {

/// Threads: owned by one.
class WorkerPace {
 public:
  /// From this multiple of the median on, an answer is slow.
  static constexpr double kSlow = 2;

  /// A task took `ratio` times the median of its kind.
  void OnAnswer(Time now, double ratio) {
    const double lower = std::min(ratio, last_ratio_);
    if (ratio < kSlow) {
      excess_ = 0;
      confirmed_ = 0;
    } else if (lower >= kSlow) {
      excess_ = std::min(lower - 1, kMostExcess);
      confirmed_ = std::min(confirmed_ + 1, kMostConfirmed);
    }
    last_ratio_ = ratio;
    measured_ = now;
  }

  double last_ratio() const { return last_ratio_; }
  Time measured() const { return measured_; }

  /// The task failed. An instant failure must not look like an idle worker.
  void OnError() { errors_ = std::min(errors_ + kErrorLoad, kMostErrors); }
  void OnSuccess() { errors_ /= 2; }

  /// By how many median service times a task takes longer here than elsewhere;
  /// 0 while nothing speaks against the worker.
  double Excess(Time now) const {
    if (excess_ == 0 && errors_ < kForgotten) return 0;
    const double faded =
        excess_ * std::exp(-ToSeconds(std::max(Duration{0}, now - measured_)) /
                           ToSeconds(kDecayTime * (1 << confirmed_)));
    const double total = faded + errors_;
    return total < kForgotten ? 0 : total;
  }

 private:
  // So much waiting elsewhere a slow worker is worth. No more: it may have had
  // bad luck twice.
  static constexpr double kMostExcess = 2;
  static constexpr double kForgotten = 0.1;
  static constexpr Duration kDecayTime = Milliseconds(500);
  static constexpr int kMostConfirmed = 5;  // 16 s
  static constexpr double kErrorLoad = 4;
  static constexpr double kMostErrors = 64;

  double last_ratio_ = 1;
  double excess_ = 0;
  double errors_ = 0;
  int confirmed_ = 0;
  Time measured_{};
};

}  // namespace parm::core
