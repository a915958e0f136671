#pragma once

// The common-mode brake: when most queries are late, slowness is not a few
// workers', and extra work would only add to it. Counts first dispatches and
// those that turned out late over the last 64 to 128 dispatches.

#include <cstdint>

namespace parm::core {

/// Threads: owned by one.
class LateShare {
 public:
  void OnDispatch() {
    if (++newer_.dispatched < kWindow) return;
    older_ = newer_;
    newer_ = {};
  }
  void OnLate() { ++newer_.late; }

  /// Whether more than `share` of the dispatches were late; false before there
  /// were kWindow of them.
  bool Exceeds(double share) const {
    const uint32_t dispatched = older_.dispatched + newer_.dispatched;
    const uint32_t late = older_.late + newer_.late;
    return older_.dispatched > 0 && late > share * dispatched;
  }

 private:
  static constexpr uint32_t kWindow = 64;
  struct Window {
    uint32_t dispatched = 0;
    uint32_t late = 0;
  };
  Window newer_;
  Window older_;
};

}  // namespace parm::core
