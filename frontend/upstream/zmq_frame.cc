#include "frontend/upstream/zmq_frame.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/status_macros.h"

namespace parm {
namespace {

// Copying 2 KiB costs less than a further allocation and two atomics.
constexpr size_t kMaxCopyBytes = 2048;
// libzmq's receive block (in_batch_size): below it a frame shares its block.
constexpr size_t kMaxSharedBlockBytes = 8192;

// A signal may interrupt libzmq even where it does not wait. A message that
// was not looked at would stay until the next one comes, and half a message
// would take what follows for its other half.
template <typename Call>
int RetryIfInterrupted(Call call) {
  int result = 0;
  do {
    result = call();
  } while (result < 0 && zmq_errno() == EINTR);
  return result;
}

}  // namespace

ZmqFrame ZmqFrame::CopyOf(absl::string_view text) {
  ZmqFrame frame;
  PARM_CHECK(zmq_msg_init_size(&frame.message_, text.size()) == 0);
  if (!text.empty()) {
    std::memcpy(zmq_msg_data(&frame.message_), text.data(), text.size());
  }
  return frame;
}

ZmqFrame ZmqFrame::FromBuffer(const Buffer& buffer) {
  if (buffer.size() <= kMaxCopyBytes) {
    return CopyOf(absl::string_view(
        reinterpret_cast<const char*>(buffer.bytes().data()), buffer.size()));
  }
  ZmqFrame frame;
  // libzmq never writes to it: the cast is its interface's, not a change.
  auto* data =
      const_cast<void*>(static_cast<const void*>(buffer.bytes().data()));
  PARM_CHECK(zmq_msg_init_data(
                 &frame.message_, data, buffer.size(),
                 [](void*, void* hint) { delete static_cast<Buffer*>(hint); },
                 new Buffer(buffer)) == 0);
  return frame;
}

Buffer ZmqFrame::ToBuffer(ZmqFrame frame) {
  if (frame.bytes().size() <= kMaxSharedBlockBytes) {
    return Buffer::CopyOf(frame.bytes());
  }
  auto* owner = new ZmqFrame(std::move(frame));
  return Buffer::Wrap(owner->bytes(), owner,
                      [](void* o) { delete static_cast<ZmqFrame*>(o); });
}

absl::Span<const std::byte> ZmqFrame::bytes() const {
  return {static_cast<const std::byte*>(zmq_msg_data(&message_)),
          zmq_msg_size(&message_)};
}

absl::string_view ZmqFrame::text() const {
  return {static_cast<const char*>(zmq_msg_data(&message_)),
          zmq_msg_size(&message_)};
}

int SendFrame(void* socket, ZmqFrame& frame, bool more) {
  const int flags = ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0);
  return RetryIfInterrupted(
      [&] { return zmq_msg_send(frame.raw(), socket, flags); });
}

bool ReceiveFrames(void* socket, size_t max_frames,
                   std::vector<ZmqFrame>* frames, bool* truncated) {
  frames->clear();
  *truncated = false;
  bool more = true;
  while (more) {
    ZmqFrame frame;
    // The first part may not be there; libzmq delivers the others with it.
    const int received = RetryIfInterrupted(
        [&] { return zmq_msg_recv(frame.raw(), socket, ZMQ_DONTWAIT); });
    if (received < 0) {
      frames->clear();
      return false;
    }
    more = frame.more();
    if (frames->size() < max_frames) {
      frames->push_back(std::move(frame));
    } else {
      *truncated = true;
    }
  }
  return true;
}

}  // namespace parm
