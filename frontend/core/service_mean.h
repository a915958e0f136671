#pragma once

// What a task takes of a worker on average, of one model and batch size: what
// extra work is charged before it has told its own. The mean and not the
// median, as the slow jobs take their time too: with 8 % of the jobs ten times
// as long it is 1.7 times the median.

#include <algorithm>
#include <cstdint>

#include "base/time.h"

namespace parm::core {

/// Threads: owned by one.
class ServiceMean {
 public:
  void Record(Duration service) {
    count_ = std::min(count_ + 1, kWindow);
    mean_ += (service - mean_) / count_;
  }

  /// 0 before the first.
  Duration value() const { return mean_; }

 private:
  // The plain mean of the first ones; then old ones fade.
  static constexpr int64_t kWindow = 512;
  int64_t count_ = 0;
  Duration mean_{0};
};

}  // namespace parm::core
