#pragma once

// Lets an Asio loop serve a ZeroMQ socket. ZMQ_FD is edge-triggered and any
// send or receive may swallow its edge, so the descriptor alone is not enough:
// the socket is drained until it says EAGAIN, and drained again after sends.

#include <functional>
#include <memory>

#include "boost/asio/io_context.hpp"

namespace parm {

/// Threads: the loop's only. The socket must outlive the watcher.
class ZmqWatcher {
 public:
  /// Takes a bounded slice of messages; true if it stopped at its bound, so
  /// that more may be waiting.
  using Drain = std::function<bool()>;

  ZmqWatcher(boost::asio::io_context& loop, void* socket, Drain drain);
  ~ZmqWatcher();
  ZmqWatcher(const ZmqWatcher&) = delete;
  ZmqWatcher& operator=(const ZmqWatcher&) = delete;

  /// Call after sending: drains soon, once for any number of calls.
  void CheckSoon();

 private:
  struct State;
  static void Run(const std::shared_ptr<State>& state);
  static void Post(const std::shared_ptr<State>& state);
  static void Wait(const std::shared_ptr<State>& state);

  // Shared with handlers in flight, which do nothing once it is stopped.
  const std::shared_ptr<State> state_;
};

}  // namespace parm
