#include "tests/frontend/upstream/fake_worker.h"

#include <zmq.h>

#include <cerrno>
#include <chrono>

#include "base/status_macros.h"
#include "proto/wire_codec.h"

namespace parm {

FakeWorker::FakeWorker(const std::string& endpoint)
    : context_(zmq_ctx_new()), socket_(zmq_socket(context_, ZMQ_ROUTER)) {
  const int linger = 0;
  zmq_setsockopt(socket_, ZMQ_LINGER, &linger, sizeof(linger));
  const auto give_up =
      std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (zmq_bind(socket_, endpoint.c_str()) != 0) {
    PARM_CHECK(zmq_errno() == EADDRINUSE);
    PARM_CHECK(std::chrono::steady_clock::now() < give_up);
  }
  char bound[256];
  size_t size = sizeof(bound);
  PARM_CHECK(zmq_getsockopt(socket_, ZMQ_LAST_ENDPOINT, bound, &size) == 0);
  endpoint_ = bound;
}

FakeWorker::~FakeWorker() {
  zmq_close(socket_);
  zmq_ctx_term(context_);
}

std::optional<FakeWorker::Message> FakeWorker::Receive() {
  std::vector<std::string> frames;
  int more = 1;
  while (more != 0) {
    zmq_msg_t message;
    zmq_msg_init(&message);
    if (zmq_msg_recv(&message, socket_, ZMQ_DONTWAIT) < 0) {
      zmq_msg_close(&message);
      return std::nullopt;
    }
    frames.emplace_back(static_cast<const char*>(zmq_msg_data(&message)),
                        zmq_msg_size(&message));
    more = zmq_msg_more(&message);
    zmq_msg_close(&message);
  }
  PARM_CHECK(frames.size() >= 2);
  absl::StatusOr<wire::Envelope> envelope = wire::ParseEnvelope(
      {reinterpret_cast<const std::byte*>(frames[1].data()), frames[1].size()});
  PARM_CHECK(envelope.ok());
  return Message{.peer = frames[0],
                 .envelope = *std::move(envelope),
                 .frames = {frames.begin() + 2, frames.end()}};
}

void FakeWorker::Send(const std::string& peer, const wire::Envelope& envelope,
                      const std::vector<std::string>& frames) {
  std::vector<std::string> all = {wire::SerializeEnvelope(envelope)};
  all.insert(all.end(), frames.begin(), frames.end());
  SendRaw(peer, all);
}

void FakeWorker::SendRaw(const std::string& peer,
                         const std::vector<std::string>& frames) {
  PARM_CHECK(zmq_send(socket_, peer.data(), peer.size(),
                      frames.empty() ? 0 : ZMQ_SNDMORE) >= 0);
  for (size_t i = 0; i < frames.size(); ++i) {
    PARM_CHECK(zmq_send(socket_, frames[i].data(), frames[i].size(),
                        i + 1 < frames.size() ? ZMQ_SNDMORE : 0) >= 0);
  }
}

}  // namespace parm
