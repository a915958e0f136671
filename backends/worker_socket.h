#pragma once

// The worker's end of the wire: one libzmq ROUTER socket that frontends connect
// to. Moves frames without a copy in either direction and knows nothing of
// what they mean. The only file here that includes libzmq.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/buffer.h"
#include "base/time.h"
#include "proto/curve_keys.h"

namespace parm {

/// One message of a frontend.
struct Incoming {
  std::string routing_id;
  std::vector<Buffer> frames;    // the envelope, then tensors
  bool too_many_frames = false;  // the rest was dropped
};

enum class SendResult {
  kSent,
  kPeerGone,  // its connection has ended
  kPeerFull,  // it does not read, and its bound is reached
};

/// Threads: one.
class WorkerSocket {
 public:
  struct Options {
    std::string bind;                  // tcp://ADDRESS:PORT, port 0 picks one
    size_t max_message_bytes = 0;      // of one frame; beyond it: disconnected
    int max_messages_per_peer = 1000;  // each way
    size_t max_frames = 65;
    /// CURVE: our keys, empty: in the clear; and the public keys of those who
    /// may connect.
    CurveKeys keys;
    std::vector<std::string> client_keys;
  };

  /// Errors: kUnavailable if the address is in use or cannot be bound;
  /// kInvalidArgument if libzmq does not understand it.
  static absl::StatusOr<std::unique_ptr<WorkerSocket>> Bind(
      const Options& options);
  ~WorkerSocket();
  WorkerSocket(const WorkerSocket&) = delete;
  WorkerSocket& operator=(const WorkerSocket&) = delete;

  /// With the port that was picked.
  const std::string& endpoint() const { return endpoint_; }

  /// Waits until a message is here, `wake_fd` is readable, a signal came,
  /// somebody wants to connect, or the time has passed (negative: for ever).
  /// Says whether `wake_fd` is readable.
  bool Wait(int wake_fd, Duration timeout);

  /// Connections that did not come to be: a wrong key, none, or no ZeroMQ. In
  /// the clear they are not counted.
  uint64_t handshakes_refused() const { return handshakes_refused_; }

  /// False if no message is here.
  bool Receive(Incoming* message);

  SendResult Send(absl::string_view routing_id, absl::string_view envelope,
                  absl::Span<const Buffer> tensors);

  /// Closes; what was sent has `linger` to leave the process.
  void Close(Duration linger);

 private:
  WorkerSocket(void* context, void* socket, const Options& options)
      : max_frames_(options.max_frames), context_(context), socket_(socket) {}
  absl::Status Configure(const Options& options);
  absl::Status UseKeys(const Options& options);
  void AnswerDoorkeeper();
  void CountRefusals();

  const size_t max_frames_;
  void* context_;
  void* socket_;
  std::string endpoint_;
  // With CURVE alone; else null.
  void* door_ = nullptr;     // libzmq asks here who may connect (ZAP)
  void* monitor_ = nullptr;  // and tells here who did not
  absl::flat_hash_set<std::string> client_keys_;
  uint64_t handshakes_refused_ = 0;
};

}  // namespace parm
