#pragma once

// Carries what other threads have to say to the loop's thread: a listener whose
// library has threads of its own translates on those, and posts here.

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "base/mutex.h"

namespace boost::asio {
class io_context;
}  // namespace boost::asio

namespace parm {

/// Guarantees: events run on the loop's thread, each once, in the order in
///             which they were pushed, never inside a push.
/// Bounds:     as the constructor says; 64 events in one turn of the loop.
class EventQueue {
 public:
  using Event = std::function<void()>;

  /// `loop` outlives the queue. At most `max_events` and `max_bytes` wait.
  EventQueue(boost::asio::io_context& loop, size_t max_events,
             size_t max_bytes);
  /// Needs: the loop's thread; nobody pushes any more.
  ~EventQueue();

  /// An event that brings something new, and holds `bytes` of tensors. False,
  /// and the event is not taken, if the queue is full or closed.
  /// Threads: any.
  bool TryPush(size_t bytes, Event event) ABSL_LOCKS_EXCLUDED(mu_);

  /// An event that follows from one that was taken: its cancellation, its end.
  /// Taken even if the queue is full, so the caller bounds their number. False
  /// if the queue is closed.
  /// Threads: any.
  bool Push(Event event) ABSL_LOCKS_EXCLUDED(mu_);

  /// Takes nothing from now on, and runs what waits.
  /// Threads: the loop's.
  void Close() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Entry {
    size_t bytes;
    Event event;
  };

  bool Add(Entry entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void PostRun();
  /// True if more wait.
  bool RunSome() ABSL_LOCKS_EXCLUDED(mu_);

  // Constant after construction.
  boost::asio::io_context& loop_;
  const size_t max_events_;
  const size_t max_bytes_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);

  Mutex mu_;  // Guards what follows.
  std::deque<Entry> waiting_ ABSL_GUARDED_BY(mu_);
  size_t waiting_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  bool run_posted_ ABSL_GUARDED_BY(mu_) = false;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace parm
