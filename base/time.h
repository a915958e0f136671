#pragma once

// The types of points and spans of time. Nothing in base/ reads a clock: a
// decision takes `now` as an argument, so that it runs on virtual time too.

#include <chrono>
#include <cstdint>

namespace parm {

using Time = std::chrono::steady_clock::time_point;
using Duration = std::chrono::nanoseconds;

/// Later than every event: "never".
inline constexpr Time kNever = Time::max();

constexpr Duration Microseconds(int64_t n) {
  return std::chrono::microseconds(n);
}
constexpr Duration Milliseconds(int64_t n) {
  return std::chrono::milliseconds(n);
}
constexpr double ToSeconds(Duration d) {
  return std::chrono::duration<double>(d).count();
}
constexpr int64_t ToMicroseconds(Duration d) {
  return std::chrono::duration_cast<std::chrono::microseconds>(d).count();
}
/// Unit: seconds. Rounds to the nearest nanosecond below.
constexpr Duration FromSeconds(double seconds) {
  return Duration(static_cast<int64_t>(seconds * 1e9));
}

}  // namespace parm
