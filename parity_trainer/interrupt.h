#pragma once

// Ctrl-C as a question that long work asks between two steps.

#include <csignal>

namespace parm {

/// While one lives, SIGINT and SIGTERM are remembered instead of ending the
/// process; a second one ends it at once. Afterwards they do what they did.
/// Threads: one object at a time in a process.
class InterruptGuard {
 public:
  InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
  ~InterruptGuard();

  /// Whether a signal has come since the construction.
  bool interrupted() const;

 private:
  struct sigaction interrupt_before_ = {};
  struct sigaction terminate_before_ = {};
};

}  // namespace parm
