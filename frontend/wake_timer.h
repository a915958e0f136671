#pragma once

// Wakes the core at the time it asked for last. Most wishes are later than the
// one before, so the system timer is left alone and set again when it fires
// early: fewer system calls per query.

#include <functional>
#include <memory>

#include "base/time.h"
#include "boost/asio/io_context.hpp"
#include "boost/asio/steady_timer.hpp"

namespace parm {

/// Threads: the loop's only.
class WakeTimer {
 public:
  WakeTimer(boost::asio::io_context& loop, std::function<void()> wake);
  ~WakeTimer() { *alive_ = false; }
  WakeTimer(const WakeTimer&) = delete;
  WakeTimer& operator=(const WakeTimer&) = delete;

  /// Replaces the time asked for before; kNever: not at all.
  void WakeAt(Time time);

 private:
  void Arm(Time time);
  void Fired();

  boost::asio::steady_timer timer_;
  const std::function<void()> wake_;
  Time wanted_ = kNever;
  Time armed_ = kNever;  // when the timer fires
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace parm
