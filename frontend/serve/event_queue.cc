#include "frontend/serve/event_queue.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <utility>

namespace parm {
namespace {

/// Then others on the loop get their turn.
constexpr size_t kEventsPerTurn = 64;

}  // namespace

EventQueue::EventQueue(boost::asio::io_context& loop, size_t max_events,
                       size_t max_bytes)
    : loop_(loop), max_events_(max_events), max_bytes_(max_bytes) {}

EventQueue::~EventQueue() { *alive_ = false; }

bool EventQueue::TryPush(size_t bytes, Event event) {
  {
    MutexLock lock(&mu_);
    if (closed_ || waiting_.size() >= max_events_ ||
        bytes > max_bytes_ - waiting_bytes_) {
      return false;
    }
    if (!Add({.bytes = bytes, .event = std::move(event)})) return true;
  }
  PostRun();
  return true;
}

bool EventQueue::Push(Event event) {
  {
    MutexLock lock(&mu_);
    if (closed_) return false;
    if (!Add({.bytes = 0, .event = std::move(event)})) return true;
  }
  PostRun();
  return true;
}

// True if the loop must be told.
bool EventQueue::Add(Entry entry) {
  waiting_bytes_ += entry.bytes;
  waiting_.push_back(std::move(entry));
  return !std::exchange(run_posted_, true);
}

void EventQueue::PostRun() {
  boost::asio::post(loop_, [this, alive = alive_] {
    if (*alive && RunSome()) PostRun();
  });
}

bool EventQueue::RunSome() {
  std::vector<Entry> turn;
  turn.reserve(kEventsPerTurn);
  bool more = false;
  {
    MutexLock lock(&mu_);
    while (!waiting_.empty() && turn.size() < kEventsPerTurn) {
      waiting_bytes_ -= waiting_.front().bytes;
      turn.push_back(std::move(waiting_.front()));
      waiting_.pop_front();
    }
    more = !waiting_.empty();
    run_posted_ = more;
  }
  for (Entry& entry : turn) entry.event();
  return more;
}

void EventQueue::Close() {
  {
    MutexLock lock(&mu_);
    closed_ = true;
  }
  while (RunSome()) {
  }
}

}  // namespace parm
