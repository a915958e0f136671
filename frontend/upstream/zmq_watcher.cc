#include "frontend/upstream/zmq_watcher.h"

#include <zmq.h>

#include <utility>

#include "base/status_macros.h"
#include "boost/asio/posix/stream_descriptor.hpp"
#include "boost/asio/post.hpp"

namespace parm {
namespace {

int DescriptorOf(void* socket) {
  int descriptor = -1;
  size_t size = sizeof(descriptor);
  PARM_CHECK(zmq_getsockopt(socket, ZMQ_FD, &descriptor, &size) == 0);
  return descriptor;
}

}  // namespace

struct ZmqWatcher::State {
  State(boost::asio::io_context& loop_in, int fd, Drain drain_in)
      : loop(loop_in), descriptor(loop_in, fd), drain(std::move(drain_in)) {}

  boost::asio::io_context& loop;
  boost::asio::posix::stream_descriptor descriptor;
  Drain drain;
  bool posted = false;
  bool draining = false;
  bool stopped = false;
};

ZmqWatcher::ZmqWatcher(boost::asio::io_context& loop, void* socket, Drain drain)
    : state_(std::make_shared<State>(loop, DescriptorOf(socket),
                                     std::move(drain))) {
  Wait(state_);
  Post(state_);  // An edge may have passed before anybody looked.
}

ZmqWatcher::~ZmqWatcher() {
  state_->stopped = true;
  state_->descriptor.release();  // libzmq closes it.
}

void ZmqWatcher::CheckSoon() {
  // A drain in progress ends with a receive that follows this send.
  if (!state_->draining) Post(state_);
}

void ZmqWatcher::Post(const std::shared_ptr<State>& state) {
  if (state->posted) return;
  state->posted = true;
  boost::asio::post(state->loop, [state] {
    state->posted = false;
    Run(state);
  });
}

void ZmqWatcher::Run(const std::shared_ptr<State>& state) {
  if (state->stopped) return;
  state->draining = true;
  const bool more = state->drain();
  state->draining = false;
  // Others on the loop get their turn between slices.
  if (more && !state->stopped) Post(state);
}

void ZmqWatcher::Wait(const std::shared_ptr<State>& state) {
  state->descriptor.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                               [state](const boost::system::error_code& error) {
                                 if (error || state->stopped) return;
                                 Run(state);
                                 if (!state->stopped) Wait(state);
                               });
}

}  // namespace parm
