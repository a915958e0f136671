#pragma once

// A frontend's end of the wire for tests of workers: a bare DEALER socket that
// sends any frames at all and waits for what comes back.

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "proto/bundle.h"
#include "proto/envelope.pb.h"

namespace parm {

/// One message of a worker.
struct Received {
  /// Not set if the envelope does not parse.
  std::optional<wire::Envelope> envelope;
  std::vector<std::string> tensors;
};

/// Waits are bounded by kPatience and then end with nothing.
class RawFrontend {
 public:
  static constexpr Duration kPatience = std::chrono::seconds(60);

  explicit RawFrontend(const std::string& endpoint,
                       const std::string& routing_id = "");
  ~RawFrontend();
  RawFrontend(const RawFrontend&) = delete;
  RawFrontend& operator=(const RawFrontend&) = delete;

  void SendFrames(const std::vector<std::string>& frames);
  void Send(wire::Envelope envelope,
            const std::vector<std::string>& tensors = {});
  /// The next message that is no heartbeat.
  std::optional<Received> Receive();

  /// Says hello and waits for the answer.
  std::optional<wire::Hello> Hello(const std::string& frontend_id = "f");

  /// Sends a task with one FP32 input "x" of shape [batch, elements].
  void SendInfer(uint64_t task_id, const Bundle& bundle,
                 const std::vector<float>& values, int64_t batch = 1,
                 uint32_t priority = 0, int64_t remaining_budget_us = 0,
                 uint64_t luck = 0);
  void SendCancel(uint64_t task_id);

  /// Waits for the terminal reply of a task; other messages are kept for
  /// Receive.
  std::optional<Received> ReceiveReply(uint64_t task_id);
  /// Waits for the next heartbeat.
  std::optional<wire::Heartbeat> ReceiveHeartbeat();
  /// Asks until the worker's queue is this long. The worker has then dealt with
  /// everything that was sent before.
  bool WaitForQueueDepth(uint32_t depth);
  /// Waits until a lane has begun the task.
  bool ReceiveStarted(uint64_t task_id);

 private:
  std::optional<Received> ReceiveFromSocket(Time deadline);
  template <typename Matches>
  std::optional<Received> ReceiveMatching(Matches matches);

  void* const context_;
  void* const socket_;
  std::deque<Received> kept_;
};

/// The floats of a tensor frame.
std::vector<float> FloatsOf(const std::string& frame);
std::string BytesOf(const std::vector<float>& values);

}  // namespace parm
