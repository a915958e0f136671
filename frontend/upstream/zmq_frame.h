#pragma once

// One ZeroMQ message part as a value, and its passage to and from Buffer
// without a copy. The transport to workers sends and receives these.

#include <zmq.h>

#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/buffer.h"

namespace parm {

/// Owns a zmq_msg_t. Needs: bytes() is not kept past the frame.
class ZmqFrame {
 public:
  ZmqFrame() { zmq_msg_init(&message_); }
  ZmqFrame(ZmqFrame&& other) noexcept {
    zmq_msg_init(&message_);
    zmq_msg_move(&message_, &other.message_);
  }
  ZmqFrame& operator=(ZmqFrame&& other) noexcept {
    zmq_msg_move(&message_, &other.message_);
    return *this;
  }
  ZmqFrame(const ZmqFrame&) = delete;
  ZmqFrame& operator=(const ZmqFrame&) = delete;
  ~ZmqFrame() { zmq_msg_close(&message_); }

  /// A frame with a copy of `text`.
  static ZmqFrame CopyOf(absl::string_view text);

  /// A frame that shares a large buffer's bytes until libzmq has sent them
  /// (the reference is dropped on its I/O thread); small ones are copied.
  static ZmqFrame FromBuffer(const Buffer& buffer);

  /// The frame's bytes as a Buffer. Large frames are wrapped. Small ones are
  /// copied: libzmq hands them out as pieces of its 8 KiB receive block, which
  /// a 40-byte answer would otherwise keep alive.
  static Buffer ToBuffer(ZmqFrame frame);

  absl::Span<const std::byte> bytes() const;
  absl::string_view text() const;
  bool more() const { return zmq_msg_more(&message_) != 0; }
  /// Of the connection that it was received on; -1 if that is not known.
  int descriptor() const { return zmq_msg_get(&message_, ZMQ_SRCFD); }
  zmq_msg_t* raw() { return &message_; }

 private:
  mutable zmq_msg_t message_;
};

/// Hands one part of a message to `socket` without waiting. `more`: it is not
/// the last one.
/// Result: below 0 if it was refused; zmq_errno() says why.
int SendFrame(void* socket, ZmqFrame& frame, bool more);

/// Takes one whole message off `socket` into `frames`, without waiting. Parts
/// beyond `max_frames` are taken and dropped.
/// Result: false if there is none; `*frames` is then empty. `*truncated` tells
/// whether parts were dropped.
bool ReceiveFrames(void* socket, size_t max_frames,
                   std::vector<ZmqFrame>* frames, bool* truncated);

}  // namespace parm
