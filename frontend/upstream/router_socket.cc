#include "frontend/upstream/router_socket.h"

#include <zmq.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace parm {
namespace {

constexpr char kMonitorAddress[] = "inproc://upstream-monitor";
constexpr int kRefusals = ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                          ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
                          ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;
constexpr int kReconnectMs = 50;
constexpr int kMaxReconnectMs = 500;
// A connection whose peer is gone without a word (power, partition) is noticed
// by ZMTP pings; a stopped process keeps answering nothing and is found by the
// core first, from the age of its heartbeats.
constexpr int kPingMs = 2'000;
constexpr int kPingTimeoutMs = 10'000;

absl::Status ZmqError(absl::string_view what) {
  return absl::InternalError(
      absl::StrCat(what, ": ", zmq_strerror(zmq_errno())));
}

absl::Status SetInt(void* socket, int option, int value) {
  if (zmq_setsockopt(socket, option, &value, sizeof(value)) == 0) {
    return absl::OkStatus();
  }
  return ZmqError(absl::StrCat("cannot set ZeroMQ option ", option));
}

absl::Status SetKey(void* socket, int option, const std::string& key) {
  // With its terminating zero: text, not 32 bytes.
  if (zmq_setsockopt(socket, option, key.c_str(), key.size() + 1) == 0) {
    return absl::OkStatus();
  }
  return ZmqError("cannot set a CURVE key");
}

// Of ZMQ_EVENT_HANDSHAKE_FAILED_*, whose value says more.
std::string WhyRefused(int event, int32_t value) {
  if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) {
    return "the worker does not know our public key";
  }
  if (event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL) {
    return value == ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH
               ? "one side wants CURVE keys, the other has none"
           : value == ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC
               ? "its CURVE key is not the one in our file"
               : "it does not speak ZeroMQ's protocol";
  }
  // Whoever finds a mismatch first hangs up, and the other sees that alone.
  return absl::StrCat(
      "connections end in the handshake (", zmq_strerror(value),
      "): perhaps a CURVE key is wrong, or missing on one side");
}

}  // namespace

void RouterSocket::CloseContext::operator()(void* context) const {
  zmq_ctx_term(context);
}

void RouterSocket::CloseSocket::operator()(void* socket) const {
  zmq_close(socket);
}

RouterSocket::~RouterSocket() {
  // libzmq forgets to free an event that it cannot deliver: the events end
  // before the socket that takes them.
  if (router_ != nullptr) zmq_socket_monitor(router_.get(), nullptr, 0);
}

absl::StatusOr<std::unique_ptr<RouterSocket>> RouterSocket::Open(
    const RouterSocketOptions& options) {
  std::unique_ptr<RouterSocket> socket(new RouterSocket);
  PARM_RETURN_IF_ERROR(socket->SetUp(options));
  return socket;
}

absl::Status RouterSocket::SetUp(const RouterSocketOptions& options) {
  context_.reset(zmq_ctx_new());
  router_.reset(zmq_socket(context_.get(), ZMQ_ROUTER));
  monitor_.reset(zmq_socket(context_.get(), ZMQ_PAIR));
  if (router_ == nullptr || monitor_ == nullptr) {
    return ZmqError("cannot open a ZeroMQ socket");
  }
  void* router = router_.get();
  PARM_RETURN_IF_ERROR(SetInt(router, ZMQ_SNDHWM, options.high_water_mark));
  PARM_RETURN_IF_ERROR(SetInt(router, ZMQ_RCVHWM, options.high_water_mark));
  PARM_RETURN_IF_ERROR(SetInt(router, ZMQ_LINGER, 0));
  PARM_RETURN_IF_ERROR(SetInt(router, ZMQ_ROUTER_MANDATORY, 1));
  PARM_RETURN_IF_ERROR(SetInt(router, ZMQ_RECONNECT_IVL, kReconnectMs));
  PARM_RETURN_IF_ERROR(SetInt(router, ZMQ_RECONNECT_IVL_MAX, kMaxReconnectMs));
  PARM_RETURN_IF_ERROR(SetInt(router, ZMQ_HEARTBEAT_IVL, kPingMs));
  PARM_RETURN_IF_ERROR(SetInt(router, ZMQ_HEARTBEAT_TIMEOUT, kPingTimeoutMs));
  if (!options.keys.secret_key.empty()) {
    PARM_RETURN_IF_ERROR(
        SetKey(router, ZMQ_CURVE_SECRETKEY, options.keys.secret_key));
    PARM_RETURN_IF_ERROR(
        SetKey(router, ZMQ_CURVE_PUBLICKEY, options.keys.public_key));
  }
  const int64_t max_bytes = options.max_message_bytes;
  if (zmq_setsockopt(router, ZMQ_MAXMSGSIZE, &max_bytes, sizeof(max_bytes)) ||
      zmq_socket_monitor(
          router, kMonitorAddress,
          ZMQ_EVENT_CONNECTED | ZMQ_EVENT_DISCONNECTED | kRefusals) ||
      zmq_connect(monitor_.get(), kMonitorAddress)) {
    return ZmqError("cannot set up the ROUTER socket");
  }
  return absl::OkStatus();
}

absl::Status RouterSocket::Connect(const std::string& endpoint,
                                   absl::string_view peer_id,
                                   absl::string_view own_id,
                                   const std::string& server_key) {
  // As with the ids, what is set counts for the connections made from then on.
  if (!server_key.empty()) {
    PARM_RETURN_IF_ERROR(
        SetKey(router_.get(), ZMQ_CURVE_SERVERKEY, server_key));
  }
  if (zmq_setsockopt(router_.get(), ZMQ_CONNECT_ROUTING_ID, peer_id.data(),
                     peer_id.size()) != 0 ||
      zmq_setsockopt(router_.get(), ZMQ_ROUTING_ID, own_id.data(),
                     own_id.size()) != 0) {
    return ZmqError("cannot set a routing id");
  }
  if (zmq_connect(router_.get(), endpoint.c_str()) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("not an endpoint that ZeroMQ can connect to: ", endpoint,
                     " (", zmq_strerror(zmq_errno()), ")"));
  }
  return absl::OkStatus();
}

void RouterSocket::Disconnect(const std::string& endpoint) {
  zmq_disconnect(router_.get(), endpoint.c_str());
}

absl::Status RouterSocket::Send(absl::string_view peer_id,
                                absl::Span<ZmqFrame> frames) {
  // ROUTER_MANDATORY: the address frame tells whether the message can be taken;
  // the frames after it then always are.
  ZmqFrame address = ZmqFrame::CopyOf(peer_id);
  if (SendFrame(router_.get(), address, /*more=*/true) < 0) {
    if (zmq_errno() == EAGAIN) {
      return absl::ResourceExhaustedError("the worker's send queue is full");
    }
    return absl::UnavailableError(absl::StrCat("the worker cannot be reached: ",
                                               zmq_strerror(zmq_errno())));
  }
  for (size_t i = 0; i < frames.size(); ++i) {
    SendFrame(router_.get(), frames[i], /*more=*/i + 1 < frames.size());
  }
  return absl::OkStatus();
}

bool RouterSocket::Receive(size_t max_frames, std::vector<ZmqFrame>* frames,
                           bool* truncated) {
  return ReceiveFrames(router_.get(), max_frames, frames, truncated);
}

std::optional<ConnectionEvent> RouterSocket::NextEvent() {
  std::vector<ZmqFrame> frames;
  bool truncated = false;
  while (ReceiveFrames(monitor_.get(), 2, &frames, &truncated)) {
    // Event number (16 bits) and value (32): the descriptor, or why it failed.
    // The endpoint that follows is numeric where ours may have a host name.
    if (frames.size() != 2 || frames[0].bytes().size() != 6) continue;
    uint16_t number = 0;
    int32_t value = -1;
    std::memcpy(&number, frames[0].bytes().data(), sizeof(number));
    std::memcpy(&value, frames[0].bytes().data() + sizeof(number),
                sizeof(value));
    using Kind = ConnectionEvent::Kind;
    if ((number & kRefusals) != 0) {
      return ConnectionEvent{
          .kind = Kind::kRefused,
          .endpoint = std::string(frames[1].text()),
          .why = WhyRefused(number, value),
          .broke = number == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL};
    }
    return ConnectionEvent{
        .kind = number == ZMQ_EVENT_CONNECTED ? Kind::kConnected : Kind::kEnded,
        .descriptor = value};
  }
  return std::nullopt;
}

}  // namespace parm
