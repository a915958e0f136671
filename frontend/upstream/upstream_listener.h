#pragma once

// What a transport to workers reports: step [5] of a query's life, seen from
// the frontend loop. Transports translate and count; the loop decides.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/ids.h"
#include "base/time.h"
#include "proto/envelope.pb.h"
#include "proto/oip/messages.h"

namespace parm {

/// One Reply of a worker, its envelope checked and its frames matched to specs.
struct WorkerReply {
  TaskId task{};
  uint32_t exit_stage = 0;  // 0: terminal
  wire::ReplyStatus status = wire::REPLY_STATUS_UNSPECIFIED;
  bool retryable = false;
  Duration queue{0};
  Duration compute{0};
  std::string error;
  /// With ERROR: what the client is to be told, if nothing better comes.
  absl::StatusCode error_code = absl::StatusCode::kInternal;
  /// With OK: false if it is another version's answer, so that no decode may
  /// use it.
  bool decodable = true;
  std::vector<oip::Tensor> tensors;
};

/// A transport whose workers come and go has places for them: a WorkerId is a
/// place, and may be another worker's later.
/// Threads: called on the loop that owns the transport, never from inside one
/// of the transport's own methods.
class UpstreamListener {
 public:
  virtual ~UpstreamListener() = default;

  /// The place has a worker, of which nothing else is known.
  virtual void OnPlaced(WorkerId /*worker*/, const std::string& /*endpoint*/) {}
  /// It has none any more; there are no tasks there.
  virtual void OnLeft(WorkerId /*worker*/) {}

  /// The worker can be sent tasks: first contact, reconnect, restart (another
  /// instance_nonce), or an answer to a repeated question.
  virtual void OnHello(WorkerId worker, const wire::Hello& hello) = 0;
  /// What came in place of a Hello cannot be read, or the handshake before it
  /// failed, so the worker stays down.
  virtual void OnHelloRefused(WorkerId worker, const std::string& why) = 0;
  /// Its connection is gone; tasks in flight there will not be answered.
  virtual void OnLost(WorkerId worker) = 0;
  virtual void OnHeartbeat(WorkerId worker, uint32_t queue_depth,
                           uint32_t in_flight) = 0;
  virtual void OnDraining(WorkerId worker) = 0;
  /// It drains no more, and has kept what it had. OnHello follows.
  virtual void OnStays(WorkerId /*worker*/) {}
  virtual void OnStarted(WorkerId worker, TaskId task) = 0;
  virtual void OnReply(WorkerId worker, WorkerReply reply) = 0;
};

}  // namespace parm
