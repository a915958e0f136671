#include "tests/backends/raw_frontend.h"

#include <zmq.h>

#include <cstring>
#include <utility>

#include "base/status_macros.h"
#include "proto/wire_codec.h"

namespace parm {

RawFrontend::RawFrontend(const std::string& endpoint,
                         const std::string& routing_id)
    : context_(zmq_ctx_new()), socket_(zmq_socket(context_, ZMQ_DEALER)) {
  const int linger_ms = 0;
  zmq_setsockopt(socket_, ZMQ_LINGER, &linger_ms, sizeof(linger_ms));
  if (!routing_id.empty()) {
    zmq_setsockopt(socket_, ZMQ_ROUTING_ID, routing_id.data(),
                   routing_id.size());
  }
  PARM_CHECK(zmq_connect(socket_, endpoint.c_str()) == 0);
}

RawFrontend::~RawFrontend() {
  zmq_close(socket_);
  zmq_ctx_term(context_);
}

void RawFrontend::SendFrames(const std::vector<std::string>& frames) {
  for (size_t i = 0; i < frames.size(); ++i) {
    PARM_CHECK(zmq_send(socket_, frames[i].data(), frames[i].size(),
                        i + 1 < frames.size() ? ZMQ_SNDMORE : 0) >= 0);
  }
}

void RawFrontend::Send(wire::Envelope envelope,
                       const std::vector<std::string>& tensors) {
  std::vector<std::string> frames = {
      wire::SerializeEnvelope(std::move(envelope))};
  frames.insert(frames.end(), tensors.begin(), tensors.end());
  SendFrames(frames);
}

std::optional<Received> RawFrontend::ReceiveFromSocket(Time deadline) {
  zmq_pollitem_t item = {
      .socket = socket_, .fd = -1, .events = ZMQ_POLLIN, .revents = 0};
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(
      deadline - std::chrono::steady_clock::now());
  if (left.count() < 0 || zmq_poll(&item, 1, left.count()) <= 0) return {};
  Received received;
  bool is_first = true;
  int more = 1;
  while (more != 0) {
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    PARM_CHECK(zmq_msg_recv(&frame, socket_, 0) >= 0);
    const auto* const data = static_cast<const char*>(zmq_msg_data(&frame));
    const size_t size = zmq_msg_size(&frame);
    if (is_first) {
      auto envelope =
          wire::ParseEnvelope({reinterpret_cast<const std::byte*>(data), size});
      if (envelope.ok()) received.envelope = *std::move(envelope);
    } else {
      received.tensors.emplace_back(data, size);
    }
    is_first = false;
    more = zmq_msg_more(&frame);
    zmq_msg_close(&frame);
  }
  return received;
}

template <typename Matches>
std::optional<Received> RawFrontend::ReceiveMatching(Matches matches) {
  for (auto it = kept_.begin(); it != kept_.end(); ++it) {
    if (matches(*it)) {
      Received found = std::move(*it);
      kept_.erase(it);
      return found;
    }
  }
  const Time deadline = std::chrono::steady_clock::now() + kPatience;
  while (auto received = ReceiveFromSocket(deadline)) {
    if (matches(*received)) return received;
    kept_.push_back(*std::move(received));
  }
  return std::nullopt;
}

std::optional<Received> RawFrontend::Receive() {
  return ReceiveMatching([](const Received& received) {
    return !received.envelope.has_value() ||
           !received.envelope->has_heartbeat();
  });
}

std::optional<wire::Heartbeat> RawFrontend::ReceiveHeartbeat() {
  const auto received = ReceiveMatching([](const Received& candidate) {
    return candidate.envelope.has_value() &&
           candidate.envelope->has_heartbeat();
  });
  if (!received.has_value()) return std::nullopt;
  return received->envelope->heartbeat();
}

std::optional<wire::Hello> RawFrontend::Hello(const std::string& frontend_id) {
  wire::Envelope envelope;
  envelope.mutable_hello_request()->set_frontend_id(frontend_id);
  Send(std::move(envelope));
  const auto received = ReceiveMatching([](const Received& candidate) {
    return candidate.envelope.has_value() && candidate.envelope->has_hello();
  });
  if (!received.has_value()) return std::nullopt;
  return received->envelope->hello();
}

void RawFrontend::SendInfer(uint64_t task_id, const Bundle& bundle,
                            const std::vector<float>& values, int64_t batch,
                            uint32_t priority, int64_t remaining_budget_us,
                            uint64_t luck) {
  wire::Envelope envelope;
  wire::Infer* const infer = envelope.mutable_infer();
  infer->set_task_id(task_id);
  infer->set_bundle_sha256(bundle.id.data(), bundle.id.size());
  infer->set_priority(priority);
  infer->set_remaining_budget_us(remaining_budget_us);
  infer->set_luck(luck);
  *infer->add_tensors() = wire::ToWire(
      {.name = "x",
       .datatype = DataType::kFp32,
       .shape = {batch, static_cast<int64_t>(values.size()) / batch}});
  Send(std::move(envelope), {BytesOf(values)});
}

void RawFrontend::SendCancel(uint64_t task_id) {
  wire::Envelope envelope;
  envelope.mutable_cancel()->set_task_id(task_id);
  Send(std::move(envelope));
}

std::optional<Received> RawFrontend::ReceiveReply(uint64_t task_id) {
  return ReceiveMatching([task_id](const Received& candidate) {
    return candidate.envelope.has_value() && candidate.envelope->has_reply() &&
           candidate.envelope->reply().task_id() == task_id;
  });
}

bool RawFrontend::WaitForQueueDepth(uint32_t depth) {
  const Time deadline = std::chrono::steady_clock::now() + kPatience;
  while (std::chrono::steady_clock::now() < deadline) {
    wire::Envelope request;
    request.mutable_heartbeat_request();
    Send(std::move(request));
    const auto heartbeat = ReceiveHeartbeat();
    if (!heartbeat.has_value()) return false;
    if (heartbeat->queue_depth() == depth) return true;
  }
  return false;
}

bool RawFrontend::ReceiveStarted(uint64_t task_id) {
  return ReceiveMatching([task_id](const Received& candidate) {
           return candidate.envelope.has_value() &&
                  candidate.envelope->has_started() &&
                  candidate.envelope->started().task_id() == task_id;
         })
      .has_value();
}

std::vector<float> FloatsOf(const std::string& frame) {
  std::vector<float> values(frame.size() / sizeof(float));
  if (!values.empty()) {
    std::memcpy(values.data(), frame.data(), values.size() * sizeof(float));
  }
  return values;
}

std::string BytesOf(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()),
          values.size() * sizeof(float)};
}

}  // namespace parm
