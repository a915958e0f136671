#pragma once

// A worker that says exactly what the test tells it to: a bound ROUTER socket
// on the test's own thread. Destroying it is a kill -9 as the frontend sees it.

#include <optional>
#include <string>
#include <vector>

#include "proto/envelope.pb.h"

namespace parm {

class FakeWorker {
 public:
  struct Message {
    std::string peer;  // whom to answer
    wire::Envelope envelope;
    std::vector<std::string> frames;  // after the envelope
  };

  /// Binds `endpoint`; port 0 picks one. Waits for a port that a predecessor is
  /// still giving back.
  explicit FakeWorker(const std::string& endpoint = "tcp://127.0.0.1:0");
  ~FakeWorker();
  FakeWorker(const FakeWorker&) = delete;
  FakeWorker& operator=(const FakeWorker&) = delete;

  /// As a frontend connects to it.
  const std::string& endpoint() const { return endpoint_; }

  /// Takes one message, if there is one.
  std::optional<Message> Receive();

  void Send(const std::string& peer, const wire::Envelope& envelope,
            const std::vector<std::string>& frames = {});
  /// Frames as they are, garbage included.
  void SendRaw(const std::string& peer, const std::vector<std::string>& frames);

 private:
  void* context_ = nullptr;
  void* socket_ = nullptr;
  std::string endpoint_;
};

}  // namespace parm
