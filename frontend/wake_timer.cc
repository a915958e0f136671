#include "frontend/wake_timer.h"

#include <utility>

namespace parm {

WakeTimer::WakeTimer(boost::asio::io_context& loop, std::function<void()> wake)
    : timer_(loop), wake_(std::move(wake)) {}

void WakeTimer::WakeAt(Time time) {
  wanted_ = time;
  if (time < armed_) Arm(time);
}

void WakeTimer::Arm(Time time) {
  armed_ = time;
  timer_.expires_at(time);
  timer_.async_wait(
      [this, alive = alive_](const boost::system::error_code& error) {
        if (!error && *alive) Fired();
      });
}

void WakeTimer::Fired() {
  armed_ = kNever;
  if (wanted_ == kNever) return;
  if (std::chrono::steady_clock::now() < wanted_) {
    Arm(wanted_);
    return;
  }
  wanted_ = kNever;
  wake_();
}

}  // namespace parm
