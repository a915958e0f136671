#include "frontend/upstream/zmq_upstream.h"

#include <algorithm>
#include <optional>
#include <random>
#include <unordered_set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "boost/asio/steady_timer.hpp"
#include "frontend/upstream/router_socket.h"
#include "frontend/upstream/routing_id.h"
#include "frontend/upstream/zmq_frame.h"
#include "frontend/upstream/zmq_watcher.h"
#include "proto/wire_codec.h"

namespace parm {
namespace {

constexpr int kMaxBackoffFactor = 8;
// Connections that broke in the handshake one after the other.
constexpr int kTellBroken = 3;
using Clock = std::chrono::steady_clock;

std::string RandomRoutingId() {
  std::random_device device;
  std::string id = "F";  // never a zero byte first: libzmq reserves those
  for (int i = 0; i < 4; ++i) absl::StrAppend(&id, absl::Hex(device()));
  return id;
}

// One configured worker. It is `up` from its Hello until its connection breaks.
struct Link {
  std::string endpoint;
  std::string server_key;
  uint32_t generation = 0;  // of its connection; part of its routing id
  std::string routing_id;
  bool up = false;
  int descriptor = -1;  // of the connection that said hello, while up
  uint64_t nonce = 0;
  uint64_t max_message_bytes = 0;  // of one frame; 0: not said
  bool hello_pending = false;
  Time hello_due{};  // when a pending hello is given up
  int backoff_factor = 1;
  int handshakes_broken = 0;  // since the last Hello
};

class Upstream final : public ZmqUpstream {
 public:
  Upstream(boost::asio::io_context& loop, UpstreamOptions options,
           UpstreamListener* listener)
      : options_(std::move(options)),
        listener_(listener),
        loop_(loop),
        hello_timer_(loop) {}
  ~Upstream() override { *alive_ = false; }

  absl::Status Start();

  absl::Status SendInfer(WorkerId worker, const InferTask& task,
                         absl::Span<const oip::Tensor> tensors) override;
  absl::Status SendCancel(WorkerId worker, TaskId task) override;
  absl::Status SendProbe(WorkerId worker) override;
  const UpstreamCounters& counters() const override { return counters_; }
  bool connected(WorkerId worker) const override {
    return links_.at(Raw(worker)).up;
  }

 private:
  absl::Status OpenSocket();
  absl::Status Connect(Link& link);
  void Reconnect(WorkerId worker);
  void AskHello(WorkerId worker);
  void ExpectHello(Link& link);
  void RequestHello(WorkerId worker);
  void ArmHelloTimer();
  void CheckHellos();

  absl::Status Send(WorkerId worker, wire::Envelope envelope,
                    absl::Span<const oip::Tensor> tensors);
  bool DrainMessages();
  bool DrainMonitor();
  void HandleMessage(std::vector<ZmqFrame>& frames, bool truncated);
  void HandleEnvelope(WorkerId worker, const wire::Envelope& envelope,
                      std::vector<ZmqFrame>& frames);
  void HandleHello(WorkerId worker, const wire::Hello& hello, int descriptor);
  void HandleReply(WorkerId worker, const wire::Reply& reply,
                   std::vector<ZmqFrame>& frames);
  void HandleMalformed(WorkerId worker, uint64_t task_id);
  bool KnownInstance(WorkerId worker, uint64_t nonce);
  void HandleDisconnect(int descriptor);
  void HandleRefused(const ConnectionEvent& event);

  // Constant after Start.
  const UpstreamOptions options_;
  UpstreamListener* const listener_;
  const std::string own_id_ = RandomRoutingId();
  boost::asio::io_context& loop_;
  std::unique_ptr<RouterSocket> socket_;

  std::vector<Link> links_;       // by WorkerId
  std::unordered_set<int> open_;  // descriptors of connections, hello or not
  std::vector<ZmqFrame> frames_;
  UpstreamCounters counters_;
  boost::asio::steady_timer hello_timer_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::unique_ptr<ZmqWatcher> monitor_watcher_;
  std::unique_ptr<ZmqWatcher> router_watcher_;
};

absl::Status Upstream::Start() {
  PARM_RETURN_IF_ERROR(OpenSocket());
  links_.resize(options_.workers.size());
  std::unordered_set<std::string> endpoints;
  for (size_t i = 0; i < links_.size(); ++i) {
    const WorkerId worker{static_cast<uint32_t>(i)};
    links_[i].endpoint = options_.workers[i].endpoint;
    links_[i].server_key = options_.workers[i].server_key;
    if (!endpoints.insert(links_[i].endpoint).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("two workers share one endpoint: ", links_[i].endpoint));
    }
    PARM_RETURN_IF_ERROR(Connect(links_[i]));
    AskHello(worker);
  }
  monitor_watcher_ = std::make_unique<ZmqWatcher>(
      loop_, socket_->monitor(), [this] { return DrainMonitor(); });
  router_watcher_ = std::make_unique<ZmqWatcher>(
      loop_, socket_->router(), [this] { return DrainMessages(); });
  ArmHelloTimer();
  return absl::OkStatus();
}

absl::Status Upstream::OpenSocket() {
  uint32_t max_in_flight = 1;
  for (const UpstreamWorker& worker : options_.workers) {
    max_in_flight = std::max(max_in_flight, worker.max_in_flight);
  }
  // libzmq returns credit in steps of half the mark, and cancels and probes
  // share the pipe with tasks.
  PARM_ASSIGN_OR_RETURN(
      socket_, RouterSocket::Open(
                   {.high_water_mark = static_cast<int>(4 * max_in_flight + 16),
                    .max_message_bytes = options_.max_message_bytes,
                    .keys = options_.keys}));
  return absl::OkStatus();
}

// Opens the link's next connection, with new routing ids on both sides.
absl::Status Upstream::Connect(Link& link) {
  const auto index = static_cast<uint32_t>(&link - links_.data());
  link.routing_id = EncodeRoutingId(WorkerId{index}, ++link.generation);
  return socket_->Connect(link.endpoint, link.routing_id,
                          absl::StrCat(own_id_, ".", link.generation),
                          link.server_key);
}

// Drops the connection with all that is queued in it (which would otherwise
// reach the worker's successor) and opens the next.
void Upstream::Reconnect(WorkerId worker) {
  Link& link = links_[Raw(worker)];
  ++counters_.reconnects;
  link.up = false;
  link.descriptor = -1;
  socket_->Disconnect(link.endpoint);
  // The endpoint was accepted at start; a failure now (out of descriptors)
  // leaves the link down, and CheckHellos tries again when the hello is due.
  ExpectHello(link);
  if (Connect(link).ok()) RequestHello(worker);
}

// One HelloRequest per connection: the pipe holds it until the handshake is
// done, so a second one would only pile up while the worker is down.
void Upstream::AskHello(WorkerId worker) {
  ExpectHello(links_[Raw(worker)]);
  RequestHello(worker);
}

void Upstream::ExpectHello(Link& link) {
  link.hello_pending = true;
  link.hello_due = Clock::now() + options_.hello_timeout * link.backoff_factor;
  link.backoff_factor = std::min(2 * link.backoff_factor, kMaxBackoffFactor);
}

void Upstream::RequestHello(WorkerId worker) {
  wire::Envelope envelope;
  envelope.mutable_hello_request()->set_frontend_id(own_id_);
  // Refused only if the pipe is gone or full; hello_due covers that.
  Send(worker, std::move(envelope), {}).IgnoreError();
}

void Upstream::ArmHelloTimer() {
  hello_timer_.expires_after(options_.hello_timeout / 4);
  hello_timer_.async_wait(
      [this, alive = alive_](const boost::system::error_code& error) {
        if (error || !*alive) return;
        CheckHellos();
        ArmHelloTimer();
      });
}

void Upstream::CheckHellos() {
  const Time now = Clock::now();
  for (size_t i = 0; i < links_.size(); ++i) {
    Link& link = links_[i];
    if (!link.hello_pending || now < link.hello_due) continue;
    const WorkerId worker{static_cast<uint32_t>(i)};
    if (link.up) {
      AskHello(worker);
    } else {
      Reconnect(worker);
    }
  }
}

absl::Status Upstream::SendInfer(WorkerId worker, const InferTask& task,
                                 absl::Span<const oip::Tensor> tensors) {
  const Link& link = links_[Raw(worker)];
  if (!link.up) {
    ++counters_.sends_refused;
    return absl::UnavailableError("the worker is not connected");
  }
  for (const oip::Tensor& tensor : tensors) {
    if (link.max_message_bytes == 0 ||
        tensor.data.size() <= link.max_message_bytes) {
      continue;
    }
    // It would end the connection, and with it all that is in flight there.
    ++counters_.sends_refused;
    return absl::OutOfRangeError(absl::StrCat(
        "a tensor is larger than the worker takes: got ", tensor.data.size(),
        " bytes, want at most ", link.max_message_bytes));
  }
  wire::Envelope envelope;
  wire::Infer& infer = *envelope.mutable_infer();
  infer.set_task_id(Raw(task.task));
  infer.set_bundle_sha256(task.bundle_sha256.data(), task.bundle_sha256.size());
  infer.set_priority(task.priority);
  infer.set_luck(Raw(task.luck));
  infer.set_remaining_budget_us(
      std::max<int64_t>(1, ToMicroseconds(task.budget)));
  for (const oip::Tensor& tensor : tensors) {
    *infer.add_tensors() = wire::ToWire(tensor.spec);
  }
  return Send(worker, std::move(envelope), tensors);
}

absl::Status Upstream::SendCancel(WorkerId worker, TaskId task) {
  if (!links_[Raw(worker)].up) {
    return absl::UnavailableError("the worker is not connected");
  }
  wire::Envelope envelope;
  envelope.mutable_cancel()->set_task_id(Raw(task));
  return Send(worker, std::move(envelope), {});
}

absl::Status Upstream::SendProbe(WorkerId worker) {
  if (!links_[Raw(worker)].up) {
    return absl::UnavailableError("the worker is not connected");
  }
  wire::Envelope envelope;
  envelope.mutable_heartbeat_request();
  return Send(worker, std::move(envelope), {});
}

absl::Status Upstream::Send(WorkerId worker, wire::Envelope envelope,
                            absl::Span<const oip::Tensor> tensors) {
  std::vector<ZmqFrame> frames;
  frames.reserve(1 + tensors.size());
  frames.push_back(
      ZmqFrame::CopyOf(wire::SerializeEnvelope(std::move(envelope))));
  for (const oip::Tensor& tensor : tensors) {
    frames.push_back(ZmqFrame::FromBuffer(tensor.data));
  }
  const absl::Status sent =
      socket_->Send(links_[Raw(worker)].routing_id, absl::MakeSpan(frames));
  if (!sent.ok()) {
    ++counters_.sends_refused;
    return sent;
  }
  ++counters_.messages_sent;
  if (router_watcher_ != nullptr) router_watcher_->CheckSoon();
  return absl::OkStatus();
}

bool Upstream::DrainMessages() {
  // Address, envelope, tensors.
  constexpr size_t kMaxFrames = 2 + wire::kMaxTensors;
  for (int i = 0; i < options_.max_messages_per_slice; ++i) {
    bool truncated = false;
    if (!socket_->Receive(kMaxFrames, &frames_, &truncated)) return false;
    ++counters_.messages_received;
    HandleMessage(frames_, truncated);
  }
  return true;
}

void Upstream::HandleMessage(std::vector<ZmqFrame>& frames, bool truncated) {
  const std::optional<RoutingId> from = DecodeRoutingId(frames[0].text());
  // libzmq makes up an id of its own for nobody: all peers are ours.
  if (!from.has_value() || Raw(from->worker) >= links_.size() ||
      from->generation != links_[Raw(from->worker)].generation) {
    ++counters_.frames_stale;
    return;
  }
  if (frames.size() < 2) {
    ++counters_.frames_malformed;
    return;
  }
  const absl::StatusOr<wire::Envelope> envelope =
      wire::ParseEnvelope(frames[1].bytes());
  if (!envelope.ok() && !links_[Raw(from->worker)].up) {
    ++counters_.hellos_refused;
    listener_->OnHelloRefused(from->worker,
                              std::string(envelope.status().message()));
  }
  if (truncated || !envelope.ok()) {
    return HandleMalformed(from->worker,
                           wire::TaskIdOfMalformed(frames[1].bytes()));
  }
  HandleEnvelope(from->worker, *envelope, frames);
}

void Upstream::HandleEnvelope(WorkerId worker, const wire::Envelope& envelope,
                              std::vector<ZmqFrame>& frames) {
  switch (envelope.message_case()) {
    case wire::Envelope::kHello:
      return HandleHello(worker, envelope.hello(), frames[1].descriptor());
    case wire::Envelope::kReply:
      return HandleReply(worker, envelope.reply(), frames);
    case wire::Envelope::kStarted:
      if (KnownInstance(worker, envelope.started().instance_nonce())) {
        listener_->OnStarted(worker, TaskId{envelope.started().task_id()});
      }
      return;
    case wire::Envelope::kHeartbeat:
      if (KnownInstance(worker, envelope.heartbeat().instance_nonce())) {
        listener_->OnHeartbeat(worker, envelope.heartbeat().queue_depth(),
                               envelope.heartbeat().in_flight());
      }
      return;
    case wire::Envelope::kDrain:
      if (KnownInstance(worker, envelope.drain().instance_nonce())) {
        listener_->OnDraining(worker);
      }
      return;
    default:
      ++counters_.frames_unexpected;
  }
}

void Upstream::HandleHello(WorkerId worker, const wire::Hello& hello,
                           int descriptor) {
  Link& link = links_[Raw(worker)];
  // A descriptor names a connection until it ends, and is then given to another
  // one. What began or ended before this Hello came is in the monitor by now.
  const uint32_t generation = link.generation;
  while (DrainMonitor()) {
  }
  if (link.generation != generation || !open_.contains(descriptor)) {
    ++counters_.frames_stale;
    return;
  }
  ++counters_.hellos;
  link.up = true;
  link.descriptor = descriptor;
  link.hello_pending = false;
  link.backoff_factor = 1;
  link.handshakes_broken = 0;
  link.nonce = hello.instance_nonce();
  link.max_message_bytes = hello.max_message_bytes();
  listener_->OnHello(worker, hello);
}

// A message of an instance that has not said hello means nothing yet: its
// tasks are another process's, and what it serves is unknown.
bool Upstream::KnownInstance(WorkerId worker, uint64_t nonce) {
  const Link& link = links_[Raw(worker)];
  if (link.up && link.nonce == nonce) return true;
  ++counters_.unknown_instances;
  if (!link.hello_pending) AskHello(worker);
  return false;
}

void Upstream::HandleReply(WorkerId worker, const wire::Reply& reply,
                           std::vector<ZmqFrame>& frames) {
  std::vector<size_t> sizes;
  for (size_t i = 2; i < frames.size(); ++i) {
    sizes.push_back(frames[i].bytes().size());
  }
  if (!KnownInstance(worker, reply.instance_nonce())) return;
  if (!wire::CheckFrames(sizes, reply.tensors()).ok()) {
    return HandleMalformed(worker, reply.task_id());
  }
  WorkerReply out{
      .task = TaskId{reply.task_id()},
      .exit_stage = reply.exit_stage(),
      .status = reply.status(),
      .retryable = reply.retryable(),
      .queue =
          Microseconds(std::clamp<int64_t>(reply.queue_us(), 0, 1LL << 40)),
      .compute =
          Microseconds(std::clamp<int64_t>(reply.compute_us(), 0, 1LL << 40)),
      .error = reply.error(),
  };
  for (int i = 0; i < reply.tensors_size(); ++i) {
    ZmqFrame& frame = frames[static_cast<size_t>(i) + 2];
    out.tensors.push_back({.spec = wire::FromWire(reply.tensors(i)),
                           .data = ZmqFrame::ToBuffer(std::move(frame))});
  }
  listener_->OnReply(worker, std::move(out));
}

// A task whose answer was garbage has failed: better known now than at its
// deadline.
void Upstream::HandleMalformed(WorkerId worker, uint64_t task_id) {
  ++counters_.frames_malformed;
  if (task_id == 0 || !links_[Raw(worker)].up) return;
  listener_->OnReply(worker, {.task = TaskId{task_id},
                              .status = wire::ERROR,
                              .retryable = true,
                              .error = "the worker's reply was malformed"});
}

bool Upstream::DrainMonitor() {
  for (int i = 0; i < options_.max_messages_per_slice; ++i) {
    const std::optional<ConnectionEvent> event = socket_->NextEvent();
    if (!event) return false;
    switch (event->kind) {
      case ConnectionEvent::Kind::kConnected:
        open_.insert(event->descriptor);
        break;
      case ConnectionEvent::Kind::kEnded:
        HandleDisconnect(event->descriptor);
        break;
      case ConnectionEvent::Kind::kRefused:
        HandleRefused(*event);
        break;
    }
  }
  return true;
}

void Upstream::HandleDisconnect(int descriptor) {
  open_.erase(descriptor);
  // Before its hello libzmq reconnects by itself, and hello_due bounds the
  // wait; connecting anew here would turn a refusing peer into a busy loop.
  const auto found =
      std::find_if(links_.begin(), links_.end(), [&](const Link& link) {
        return link.up && link.descriptor == descriptor;
      });
  if (found == links_.end() || descriptor < 0) return;
  const WorkerId worker{static_cast<uint32_t>(found - links_.begin())};
  ++counters_.connections_lost;
  Reconnect(worker);
  listener_->OnLost(worker);
}

// It is tried again when the hello is due, as libzmq gives up after some of
// these.
void Upstream::HandleRefused(const ConnectionEvent& event) {
  ++counters_.handshakes_failed;
  for (size_t i = 0; i < links_.size(); ++i) {
    Link& link = links_[i];
    if (link.up || link.endpoint != event.endpoint) continue;
    // Once or twice it is a process that ended as it started.
    if (event.broke && ++link.handshakes_broken < kTellBroken) continue;
    listener_->OnHelloRefused(WorkerId{static_cast<uint32_t>(i)}, event.why);
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<ZmqUpstream>> ZmqUpstream::Create(
    boost::asio::io_context& loop, UpstreamOptions options,
    UpstreamListener* listener) {
  auto upstream =
      std::make_unique<Upstream>(loop, std::move(options), listener);
  PARM_RETURN_IF_ERROR(upstream->Start());
  return std::unique_ptr<ZmqUpstream>(std::move(upstream));
}

}  // namespace parm
