#include "backends/worker_socket.h"

#include <zmq.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <iterator>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace parm {
namespace {

// ZMTP's own pings: a frontend that was stopped, or whose machine has gone,
// loses its connection, and with it whatever waits for it here.
constexpr int kPingIntervalMs = 1000;
constexpr int kPingTimeoutMs = 5000;

void ReleaseMessage(void* owner) {
  auto* message = static_cast<zmq_msg_t*>(owner);
  zmq_msg_close(message);
  delete message;
}

void ReleaseBuffer(void* /*data*/, void* hint) {
  delete static_cast<Buffer*>(hint);
}

Buffer WrapMessage(std::unique_ptr<zmq_msg_t> message) {
  // Small messages live inside zmq_msg_t, so take the address after the move.
  zmq_msg_t* const owner = message.release();
  return Buffer::Wrap(
      {static_cast<const std::byte*>(zmq_msg_data(owner)), zmq_msg_size(owner)},
      owner, ReleaseMessage);
}

// A signal may interrupt any of these; half a message must not stay behind.
template <typename Call>
int RetryIfInterrupted(Call call) {
  int result = 0;
  do {
    result = call();
  } while (result < 0 && errno == EINTR);
  return result;
}

// Where libzmq looks for one in its context (RFC 27).
constexpr char kDoorAddress[] = "inproc://zeromq.zap.01";
constexpr char kMonitorAddress[] = "inproc://worker-monitor";
constexpr char kDomain[] = "parm";
constexpr int kRefusals = ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                          ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
                          ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;

// Takes one message of a few short frames; false if none is here.
bool ReceiveTexts(void* socket, std::vector<std::string>* texts) {
  texts->clear();
  bool more = true;
  while (more) {
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    if (RetryIfInterrupted(
            [&] { return zmq_msg_recv(&frame, socket, ZMQ_DONTWAIT); }) < 0) {
      zmq_msg_close(&frame);
      return false;
    }
    texts->emplace_back(static_cast<const char*>(zmq_msg_data(&frame)),
                        zmq_msg_size(&frame));
    more = zmq_msg_more(&frame) != 0;
    zmq_msg_close(&frame);
  }
  return true;
}

}  // namespace

absl::StatusOr<std::unique_ptr<WorkerSocket>> WorkerSocket::Bind(
    const Options& options) {
  void* const context = zmq_ctx_new();
  PARM_CHECK(context != nullptr);
  void* const socket = zmq_socket(context, ZMQ_ROUTER);
  if (socket == nullptr) {
    const int error = errno;
    zmq_ctx_term(context);
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot make a socket: ", zmq_strerror(error)));
  }
  std::unique_ptr<WorkerSocket> made(
      new WorkerSocket(context, socket, options));
  PARM_RETURN_IF_ERROR(made->Configure(options));
  if (zmq_bind(socket, options.bind.c_str()) != 0) {
    const std::string message =
        absl::StrCat("cannot bind ", options.bind, ": ", zmq_strerror(errno));
    return errno == EINVAL || errno == EPROTONOSUPPORT
               ? absl::InvalidArgumentError(message)
               : absl::UnavailableError(message);
  }
  char endpoint[1024];
  size_t size = sizeof(endpoint);
  PARM_CHECK(zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, endpoint, &size) == 0);
  made->endpoint_ = endpoint;
  return made;
}

absl::Status WorkerSocket::Configure(const Options& options) {
  const auto set = [this](int option, int value) {
    return zmq_setsockopt(socket_, option, &value, sizeof(value)) == 0;
  };
  const int64_t max_bytes = static_cast<int64_t>(options.max_message_bytes);
  const bool done =
      zmq_setsockopt(socket_, ZMQ_MAXMSGSIZE, &max_bytes, sizeof(max_bytes)) ==
          0 &&
      // Without it messages to a peer that has gone vanish without a word.
      set(ZMQ_ROUTER_MANDATORY, 1) &&
      // A frontend that chose its id and reconnects takes its place again.
      set(ZMQ_ROUTER_HANDOVER, 1) && set(ZMQ_LINGER, 0) &&
      set(ZMQ_SNDHWM, options.max_messages_per_peer) &&
      set(ZMQ_RCVHWM, options.max_messages_per_peer) &&
      set(ZMQ_HEARTBEAT_IVL, kPingIntervalMs) &&
      set(ZMQ_HEARTBEAT_TIMEOUT, kPingTimeoutMs);
  if (!done) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot set a socket option: ", zmq_strerror(errno)));
  }
  return options.keys.secret_key.empty() ? absl::OkStatus() : UseKeys(options);
}

absl::Status WorkerSocket::UseKeys(const Options& options) {
  for (const std::string& key : options.client_keys) {
    std::array<uint8_t, 32> bytes;
    if (zmq_z85_decode(bytes.data(), key.c_str()) == nullptr) {
      return absl::InvalidArgumentError("a client's CURVE key is none");
    }
    client_keys_.emplace(reinterpret_cast<const char*>(bytes.data()),
                         bytes.size());
  }
  door_ = zmq_socket(context_, ZMQ_REP);
  monitor_ = zmq_socket(context_, ZMQ_PAIR);
  const int is_server = 1;
  const std::string& secret_key = options.keys.secret_key;
  if (door_ != nullptr && monitor_ != nullptr &&
      zmq_bind(door_, kDoorAddress) == 0 &&
      zmq_setsockopt(socket_, ZMQ_CURVE_SERVER, &is_server,
                     sizeof(is_server)) == 0 &&
      // With its terminating zero: text, not 32 bytes.
      zmq_setsockopt(socket_, ZMQ_CURVE_SECRETKEY, secret_key.c_str(),
                     secret_key.size() + 1) == 0 &&
      zmq_setsockopt(socket_, ZMQ_ZAP_DOMAIN, kDomain, sizeof(kDomain) - 1) ==
          0 &&
      zmq_socket_monitor(socket_, kMonitorAddress, kRefusals) == 0 &&
      zmq_connect(monitor_, kMonitorAddress) == 0) {
    return absl::OkStatus();
  }
  return absl::InternalError(
      absl::StrCat("cannot set up CURVE: ", zmq_strerror(errno)));
}

// Version, request, domain, address, identity, mechanism, and for CURVE the
// client's public key.
void WorkerSocket::AnswerDoorkeeper() {
  std::vector<std::string> request;
  while (ReceiveTexts(door_, &request)) {
    const bool known = request.size() == 7 && request[5] == "CURVE" &&
                       client_keys_.contains(request[6]);
    const std::string_view replies[] = {
        "1.0",
        request.size() > 1 ? std::string_view(request[1]) : "",
        known ? "200" : "400",
        known ? "" : "unknown key",
        "",
        ""};
    for (const std::string_view& reply : replies) {
      const int more = &reply == std::end(replies) - 1 ? 0 : ZMQ_SNDMORE;
      RetryIfInterrupted(
          [&] { return zmq_send(door_, reply.data(), reply.size(), more); });
    }
  }
}

void WorkerSocket::CountRefusals() {
  std::vector<std::string> event;
  while (ReceiveTexts(monitor_, &event)) ++handshakes_refused_;
}

WorkerSocket::~WorkerSocket() { Close(Duration(0)); }

void WorkerSocket::Close(Duration linger) {
  if (socket_ == nullptr) return;
  const int linger_ms = static_cast<int>(
      std::chrono::duration_cast<std::chrono::milliseconds>(linger).count());
  zmq_setsockopt(socket_, ZMQ_LINGER, &linger_ms, sizeof(linger_ms));
  // libzmq forgets to free an event that it cannot deliver: the events end
  // before the socket that takes them.
  if (monitor_ != nullptr) {
    zmq_socket_monitor(socket_, nullptr, 0);
    zmq_close(std::exchange(monitor_, nullptr));
  }
  zmq_close(std::exchange(socket_, nullptr));
  if (door_ != nullptr) zmq_close(std::exchange(door_, nullptr));
  while (zmq_ctx_term(context_) != 0 && errno == EINTR) {
  }
  context_ = nullptr;
}

bool WorkerSocket::Wait(int wake_fd, Duration timeout) {
  // Rounded up: waking before the time has come would spin.
  const long timeout_ms =
      timeout < Duration(0)
          ? -1
          : static_cast<long>(
                std::chrono::ceil<std::chrono::milliseconds>(timeout).count());
  zmq_pollitem_t items[] = {
      {.socket = socket_, .fd = -1, .events = ZMQ_POLLIN, .revents = 0},
      {.socket = nullptr, .fd = wake_fd, .events = ZMQ_POLLIN, .revents = 0},
      {.socket = door_, .fd = -1, .events = ZMQ_POLLIN, .revents = 0},
      {.socket = monitor_, .fd = -1, .events = ZMQ_POLLIN, .revents = 0}};
  if (zmq_poll(items, door_ == nullptr ? 2 : 4, timeout_ms) <= 0) return false;
  if (items[2].revents != 0) AnswerDoorkeeper();
  if (items[3].revents != 0) CountRefusals();
  return items[1].revents != 0;
}

bool WorkerSocket::Receive(Incoming* message) {
  message->frames.clear();
  message->too_many_frames = false;
  zmq_msg_t id;
  zmq_msg_init(&id);
  if (RetryIfInterrupted(
          [&] { return zmq_msg_recv(&id, socket_, ZMQ_DONTWAIT); }) < 0) {
    zmq_msg_close(&id);
    return false;
  }
  message->routing_id.assign(static_cast<const char*>(zmq_msg_data(&id)),
                             zmq_msg_size(&id));
  bool more = zmq_msg_more(&id) != 0;
  zmq_msg_close(&id);
  // A message is here as a whole or not at all, so these do not fail.
  while (more) {
    auto frame = std::make_unique<zmq_msg_t>();
    zmq_msg_init(frame.get());
    const int received = RetryIfInterrupted(
        [&] { return zmq_msg_recv(frame.get(), socket_, ZMQ_DONTWAIT); });
    more = received >= 0 && zmq_msg_more(frame.get()) != 0;
    if (received < 0 || message->frames.size() == max_frames_) {
      message->too_many_frames = true;
      zmq_msg_close(frame.get());
    } else {
      message->frames.push_back(WrapMessage(std::move(frame)));
    }
  }
  return true;
}

SendResult WorkerSocket::Send(absl::string_view routing_id,
                              absl::string_view envelope,
                              absl::Span<const Buffer> tensors) {
  // ROUTER decides on the first frame whether a message can go; the others of
  // the same message then follow.
  const auto send_copy = [this](absl::string_view bytes, bool more) {
    return RetryIfInterrupted([&] {
      return zmq_send(socket_, bytes.data(), bytes.size(),
                      ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0));
    });
  };
  if (send_copy(routing_id, /*more=*/true) < 0) {
    return errno == EHOSTUNREACH ? SendResult::kPeerGone
                                 : SendResult::kPeerFull;
  }
  send_copy(envelope, /*more=*/!tensors.empty());
  for (size_t i = 0; i < tensors.size(); ++i) {
    auto* const owner = new Buffer(tensors[i]);
    zmq_msg_t frame;
    // libzmq only reads; its interface is not const.
    zmq_msg_init_data(&frame, const_cast<std::byte*>(owner->bytes().data()),
                      owner->size(), ReleaseBuffer, owner);
    const int flags = ZMQ_DONTWAIT | (i + 1 < tensors.size() ? ZMQ_SNDMORE : 0);
    if (RetryIfInterrupted(
            [&] { return zmq_msg_send(&frame, socket_, flags); }) < 0) {
      zmq_msg_close(&frame);
    }
  }
  return SendResult::kSent;
}

}  // namespace parm
