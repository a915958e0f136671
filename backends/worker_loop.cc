#include "backends/worker_loop.h"

#include <algorithm>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "backends/outgoing_reply.h"
#include "base/status_macros.h"
#include "proto/wire_codec.h"
#include "spdlog/spdlog.h"

namespace parm {
namespace {

/// Messages read in one turn, so that lanes and timers get theirs.
constexpr int kMaxMessagesPerTurn = 256;
/// Time for the last replies of a drain to leave the process.
constexpr Duration kDrainLinger = Milliseconds(1000);

Time Now() { return std::chrono::steady_clock::now(); }

uint64_t DrawNonce() {
  std::random_device device;
  const uint64_t nonce = (uint64_t{device()} << 32) | device();
  return nonce != 0 ? nonce : 1;
}

std::string IdBytes(const Sha256& id) { return {id.begin(), id.end()}; }

/// Owner of local tasks; PeerTable numbers frontends from 1.
constexpr PeerId kLocalPeer{0};

/// Started and Reply of every task, and some heartbeats.
int MaxMessagesPerPeer(const WorkerLoop::Options& options) {
  return static_cast<int>(3 * options.max_queue + 1000);
}

TaskFinished LocalRefusal(absl::string_view why) {
  TaskFinished refusal;
  refusal.key.peer = kLocalPeer;
  refusal.status = wire::ERROR;
  refusal.error = std::string(why);
  refusal.retryable = true;
  return refusal;
}

}  // namespace

absl::StatusOr<std::unique_ptr<WorkerLoop>> WorkerLoop::Create(
    const Options& options,
    std::vector<std::unique_ptr<const ServedBundle>> bundles) {
  PARM_ASSIGN_OR_RETURN(
      auto socket,
      WorkerSocket::Bind({.bind = options.bind,
                          .max_message_bytes = options.max_message_bytes,
                          .max_messages_per_peer = MaxMessagesPerPeer(options),
                          .max_frames = 1 + wire::kMaxTensors,
                          .keys = options.keys,
                          .client_keys = options.client_keys}));
  PARM_ASSIGN_OR_RETURN(auto outbox, Outbox::Create());
  std::unique_ptr<WorkerLoop> loop(new WorkerLoop(
      options, std::move(bundles), std::move(socket), std::move(outbox)));
  if (loop->bundle_by_id_.size() != loop->bundles_.size()) {
    return absl::InvalidArgumentError(
        "one bundle is listed twice: each bundle id may be served once");
  }
  return loop;
}

WorkerLoop::WorkerLoop(const Options& options,
                       std::vector<std::unique_ptr<const ServedBundle>> bundles,
                       std::unique_ptr<WorkerSocket> socket,
                       std::unique_ptr<Outbox> outbox)
    : options_(options),
      bundles_(std::move(bundles)),
      instance_nonce_(DrawNonce()),
      draws_(options.fault_seed, options.id),
      socket_(std::move(socket)),
      outbox_(std::move(outbox)),
      queue_(options.max_queue, options.max_queued_bytes),
      inbox_(options.max_queue),
      peers_(options.max_peers),
      next_heartbeat_(Now() + options.heartbeat_interval) {
  for (const auto& bundle : bundles_) {
    bundle_by_id_.emplace(IdBytes(bundle->bundle().id), bundle.get());
  }
  std::vector<const ServedBundle*> to_warm;
  for (const auto& bundle : bundles_) to_warm.push_back(bundle.get());
  lanes_ = std::make_unique<LanePool>(
      LanePool::Options{.num_lanes = options_.lanes,
                        .faults = Faults(options_.fault_windows, draws_),
                        .draws = draws_,
                        .start = options_.fault_epoch.value_or(Now()),
                        .bundles = std::move(to_warm)},
      &queue_, outbox_.get());
}

void WorkerLoop::Run() {
  while (!draining_ || !live_.empty()) {
    const bool woken = socket_->Wait(outbox_->wake_fd(), UntilNextTimer(Now()));
    if (drain_requested_.load() && !draining_) BeginDrain();
    ReceiveMessages();
    if (woken) {
      HandleLaneEvents();
      TakeLocalTasks();
    }
    OnTimers(Now());
    TellRefusals();
  }
  for (const LocalTask& task : inbox_.Close())
    task.done(LocalRefusal("worker is draining"));
  socket_->Close(kDrainLinger);
}

// Who is refused comes again, several times a second: one line tells of all.
void WorkerLoop::TellRefusals() {
  const uint64_t refused = socket_->handshakes_refused();
  if (refused > 0 && counters_.handshakes_refused == 0) {
    spdlog::warn(
        "a connection was refused: a wrong CURVE key, or none; further ones "
        "are counted");
  }
  counters_.handshakes_refused = refused;
}

void WorkerLoop::RequestDrain() {
  drain_requested_.store(true);
  outbox_->Wake();
}

absl::Status WorkerLoop::Submit(LocalTask task) {
  PARM_RETURN_IF_ERROR(inbox_.Push(std::move(task)));
  outbox_->Wake();
  return absl::OkStatus();
}

void WorkerLoop::TakeLocalTasks() {
  for (LocalTask& local : inbox_.Drain()) {
    ++counters_.tasks;
    if (draining_ || held_.size() >= options_.max_queue) {
      ++counters_.tasks_refused;
      ++counters_.replies_error;
      local.done(LocalRefusal(draining_ ? "worker is draining"
                                        : "worker holds too many replies"));
      continue;
    }
    const TaskId id{++last_local_};
    local_.emplace(id, std::move(local.done));
    live_.insert({kLocalPeer, id});
    const std::optional<Task> refused =
        queue_.Push({.key = {kLocalPeer, id},
                     .luck = Luck{last_local_},
                     .bundle = local.bundle,
                     .arrived = Now(),
                     .inputs = std::move(local.inputs)});
    if (refused.has_value()) {
      ++counters_.tasks_refused;
      EndUnstarted(*refused, wire::ERROR, "worker's queue is full");
    }
  }
}

void WorkerLoop::AnswerLocal(const TaskFinished& finished) {
  const auto done = local_.extract(finished.key.task);
  ForgetTask(finished.key);
  if (!done.empty()) done.mapped()(finished);
}

void WorkerLoop::BeginDrain() {
  draining_ = true;
  Broadcast(DrainEnvelope());
}

Duration WorkerLoop::UntilNextTimer(Time now) const {
  Time next = std::min(next_heartbeat_, next_expiry_);
  if (!held_.empty()) next = std::min(next, held_.begin()->first);
  return std::max(Duration(0), Duration(next - now));
}

void WorkerLoop::OnTimers(Time now) {
  while (!held_.empty() && held_.begin()->first <= now) {
    SendTerminal(held_.extract(held_.begin()).mapped());
  }
  if (next_expiry_ <= now) {
    TaskQueue::Expired expired = queue_.TakeExpired(now);
    next_expiry_ = expired.next_expiry;
    for (const Task& task : expired.tasks) {
      EndUnstarted(task, wire::EXPIRED, "");
    }
  }
  if (next_heartbeat_ <= now) {
    Broadcast(HeartbeatEnvelope());
    next_heartbeat_ = now + options_.heartbeat_interval;
  }
}

void WorkerLoop::ReceiveMessages() {
  Incoming message;
  for (int i = 0; i < kMaxMessagesPerTurn; ++i) {
    if (!socket_->Receive(&message)) return;
    OnMessage(message);
  }
}

void WorkerLoop::OnMessage(const Incoming& message) {
  if (message.frames.empty()) {
    ++counters_.messages_malformed;
    return;
  }
  const auto envelope = wire::ParseEnvelope(message.frames[0].bytes());
  if (!envelope.ok()) return OnRefusedEnvelope(message, envelope.status());
  const bool is_infer = envelope->has_infer();
  if (!is_infer && message.frames.size() > 1) {
    ++counters_.messages_malformed;
    return;
  }
  Peer* const peer = peers_.Touch(message.routing_id, Now());
  if (peer == nullptr) {
    ++counters_.peers_refused;
    if (is_infer) {
      RefuseTask(message.routing_id, TaskId{envelope->infer().task_id()},
                 "worker is busy for too many frontends", /*retryable=*/true);
    }
    return;
  }
  switch (envelope->message_case()) {
    case wire::Envelope::kHelloRequest:
      return OnHello(peer, envelope->hello_request());
    case wire::Envelope::kInfer:
      return OnInfer(peer, envelope->infer(), message);
    case wire::Envelope::kCancel:
      return OnCancel(*peer, TaskId{envelope->cancel().task_id()});
    case wire::Envelope::kHeartbeatRequest:
      SendTo(peer->id, HeartbeatEnvelope());
      return;
    default:
      ++counters_.messages_unexpected;
  }
}

void WorkerLoop::OnRefusedEnvelope(const Incoming& message,
                                   const absl::Status& refusal) {
  ++counters_.messages_malformed;
  const TaskId task{wire::TaskIdOfMalformed(message.frames[0].bytes())};
  const Peer* const peer = peers_.FindByRoutingId(message.routing_id);
  // A task that is here already gets its one reply from its lane.
  if (Raw(task) == 0) return;
  if (peer != nullptr && live_.contains({peer->id, task})) return;
  RefuseTask(message.routing_id, task, refusal.message(),
             /*retryable=*/absl::IsFailedPrecondition(refusal));
}

void WorkerLoop::OnInfer(Peer* peer, const wire::Infer& infer,
                         const Incoming& message) {
  const TaskKey key = {peer->id, TaskId{infer.task_id()}};
  if (live_.contains(key)) {
    ++counters_.tasks_duplicate;
    return;
  }
  ++counters_.tasks;
  if (draining_) {
    ++counters_.tasks_refused;
    return RefuseTask(message.routing_id, key.task, "worker is draining",
                      /*retryable=*/true);
  }
  if (held_.size() >= options_.max_queue) {
    ++counters_.tasks_refused;
    return RefuseTask(message.routing_id, key.task,
                      "worker holds too many replies", /*retryable=*/true);
  }
  absl::StatusOr<Task> task = MakeTask(*peer, infer, message);
  if (!task.ok()) {
    if (absl::IsDataLoss(task.status())) {
      ++counters_.messages_malformed;
    } else {
      ++counters_.tasks_misfit;
    }
    return RefuseTask(message.routing_id, key.task, task.status().message(),
                      /*retryable=*/absl::IsNotFound(task.status()));
  }
  live_.insert(key);
  ++peer->num_tasks;
  next_expiry_ = std::min(next_expiry_, task->expires);
  const std::optional<Task> refused = queue_.Push(*std::move(task));
  if (refused.has_value()) {
    ++counters_.tasks_refused;
    EndUnstarted(*refused, wire::ERROR, "worker's queue is full");
  }
}

absl::StatusOr<Task> WorkerLoop::MakeTask(const Peer& peer,
                                          const wire::Infer& infer,
                                          const Incoming& message) const {
  if (message.too_many_frames) {
    return absl::DataLossError("message has too many frames");
  }
  const absl::Span<const Buffer> tensors =
      absl::MakeConstSpan(message.frames).subspan(1);
  std::vector<size_t> sizes;
  for (const Buffer& tensor : tensors) sizes.push_back(tensor.size());
  PARM_RETURN_IF_ERROR(wire::CheckFrames(sizes, infer.tensors()));

  const auto bundle = bundle_by_id_.find(infer.bundle_sha256());
  if (bundle == bundle_by_id_.end()) {
    return absl::NotFoundError(absl::StrCat(
        "worker does not serve this bundle: worker ", options_.id));
  }
  std::vector<TensorSpec> specs;
  for (const auto& spec : infer.tensors())
    specs.push_back(wire::FromWire(spec));
  const uint64_t luck = infer.luck() != 0 ? infer.luck() : infer.task_id();
  Task task = {.key = {peer.id, TaskId{infer.task_id()}},
               .luck = Luck{luck},
               .bundle = bundle->second,
               .priority = static_cast<uint8_t>(
                   std::min<uint32_t>(infer.priority(), kNumPriorities - 1)),
               .arrived = Now()};
  PARM_ASSIGN_OR_RETURN(task.inputs,
                        task.bundle->ArrangeInputs(specs, tensors));
  if (infer.remaining_budget_us() > 0) {
    // Clamped, so that a hostile budget cannot overflow the clock.
    constexpr int64_t kMaxBudgetUs = int64_t{3600} * 1'000'000;
    task.expires =
        task.arrived +
        Microseconds(std::min(infer.remaining_budget_us(), kMaxBudgetUs));
  }
  return task;
}

void WorkerLoop::OnCancel(const Peer& peer, TaskId task) {
  // What already runs goes on, and replies.
  const std::optional<Task> withdrawn = queue_.Withdraw({peer.id, task});
  if (withdrawn.has_value()) EndUnstarted(*withdrawn, wire::CANCELLED, "");
}

void WorkerLoop::HandleLaneEvents() {
  outbox_->Drain(&lane_events_);
  for (LaneEvent& event : lane_events_) {
    if (auto* const started = std::get_if<TaskStarted>(&event)) {
      if (started->key.peer == kLocalPeer) continue;
      wire::Envelope envelope;
      envelope.mutable_started()->set_task_id(Raw(started->key.task));
      envelope.mutable_started()->set_instance_nonce(instance_nonce_);
      SendTo(started->key.peer, wire::SerializeEnvelope(std::move(envelope)));
    } else {
      Finish(std::move(std::get<TaskFinished>(event)));
    }
  }
  lane_events_.clear();  // lets go of the outputs
}

void WorkerLoop::EndUnstarted(const Task& task, wire::ReplyStatus status,
                              absl::string_view error) {
  SendTerminal({.key = task.key,
                .bundle = task.bundle,
                .status = status,
                .error = std::string(error),
                .retryable = status == wire::ERROR,
                .queued = Now() - task.arrived});
}

void WorkerLoop::Finish(TaskFinished finished) {
  counters_.non_finite_inputs += finished.non_finite_input ? 1 : 0;
  counters_.non_finite_outputs += finished.non_finite_output ? 1 : 0;
  const FaultPlan& faults = finished.faults;
  if (finished.status == wire::ERROR && !faults.error) {
    ++counters_.model_errors;
  }
  if (faults != FaultPlan{}) ++counters_.faults_injected;
  if (faults.drop) return ForgetTask(finished.key);
  if (faults.reply_delay > Duration(0)) {
    const Time due = Now() + faults.reply_delay;
    held_.emplace(due, std::move(finished));
    return;
  }
  SendTerminal(finished);
}

void WorkerLoop::SendTerminal(const TaskFinished& finished) {
  switch (finished.status) {
    case wire::OK:
      ++counters_.replies_ok;
      break;
    case wire::CANCELLED:
      ++counters_.replies_cancelled;
      break;
    case wire::EXPIRED:
      ++counters_.replies_expired;
      break;
    default:
      ++counters_.replies_error;
  }
  if (finished.key.peer == kLocalPeer) return AnswerLocal(finished);
  OutgoingReply reply = BuildReply(finished, instance_nonce_);
  CorruptReply(finished.faults.corruption,
               draws_.Bits(finished.luck, DrawKind::kCorruptBytes, 0), &reply);
  for (int i = 0; i < (finished.faults.duplicate ? 2 : 1); ++i) {
    if (!SendTo(finished.key.peer, reply.envelope, reply.tensors)) {
      ++counters_.replies_undelivered;
    }
  }
  ForgetTask(finished.key);
}

void WorkerLoop::RefuseTask(absl::string_view routing_id, TaskId task,
                            absl::string_view error, bool retryable) {
  ++counters_.replies_error;
  TaskFinished refusal;
  refusal.key.task = task;
  refusal.status = wire::ERROR;
  refusal.error = std::string(error);
  refusal.retryable = retryable;
  const OutgoingReply reply = BuildReply(refusal, instance_nonce_);
  if (socket_->Send(routing_id, reply.envelope, {}) != SendResult::kSent) {
    ++counters_.replies_undelivered;
  }
}

void WorkerLoop::ForgetTask(TaskKey key) {
  live_.erase(key);
  if (key.peer == kLocalPeer) local_.erase(key.task);
  if (Peer* const peer = peers_.Find(key.peer)) --peer->num_tasks;
}

void WorkerLoop::OnHello(Peer* peer, const wire::HelloRequest& request) {
  if (peer->greeted && peer->frontend_id != request.frontend_id()) {
    // Another process took over the connection's id, and its task ids begin
    // anew: what the one before asked for must not answer this one.
    const std::string routing_id = peer->routing_id;
    DropPeer(peer->id);
    peer = peers_.Touch(routing_id, Now());
  }
  peer->greeted = true;
  peer->frontend_id = request.frontend_id();
  const PeerId id = peer->id;
  wire::Envelope envelope;
  wire::Hello* const hello = envelope.mutable_hello();
  hello->set_worker_id(options_.id);
  hello->set_fault_domain(options_.fault_domain);
  hello->set_instance_nonce(instance_nonce_);
  hello->set_lanes(static_cast<uint32_t>(options_.lanes));
  hello->set_max_message_bytes(options_.max_message_bytes);
  for (const auto& bundle : bundles_) {
    *hello->add_bundles() = ToBundleInfo(bundle->bundle());
  }
  SendTo(id, wire::SerializeEnvelope(std::move(envelope)));
  if (draining_) SendTo(id, DrainEnvelope());
}

std::string WorkerLoop::HeartbeatEnvelope() const {
  // A lane may take a task meanwhile. Whatever else is unanswered is in flight,
  // delayed replies too: a frontend takes a worker that holds nothing to have
  // forgotten its tasks.
  const size_t queued = std::min(live_.size(), queue_.size());
  wire::Envelope envelope;
  wire::Heartbeat* const heartbeat = envelope.mutable_heartbeat();
  heartbeat->set_instance_nonce(instance_nonce_);
  heartbeat->set_queue_depth(static_cast<uint32_t>(queued));
  heartbeat->set_in_flight(static_cast<uint32_t>(live_.size() - queued));
  return wire::SerializeEnvelope(std::move(envelope));
}

std::string WorkerLoop::DrainEnvelope() const {
  wire::Envelope envelope;
  envelope.mutable_drain()->set_instance_nonce(instance_nonce_);
  return wire::SerializeEnvelope(std::move(envelope));
}

bool WorkerLoop::SendTo(PeerId id, absl::string_view envelope,
                        absl::Span<const Buffer> tensors) {
  Peer* const peer = peers_.Find(id);
  if (peer == nullptr) return false;
  const SendResult result = socket_->Send(peer->routing_id, envelope, tensors);
  if (result == SendResult::kPeerGone) DropPeer(id);
  return result == SendResult::kSent;
}

void WorkerLoop::Broadcast(absl::string_view envelope) {
  std::vector<PeerId> greeted;  // SendTo may remove a peer
  for (const auto& [id, peer] : peers_.peers()) {
    if (peer.greeted) greeted.push_back(id);
  }
  for (const PeerId id : greeted) SendTo(id, envelope);
}

void WorkerLoop::DropPeer(PeerId id) {
  peers_.Remove(id);
  for (const Task& task : queue_.WithdrawPeer(id)) {
    ++counters_.tasks_orphaned;
    ForgetTask(task.key);
  }
}

}  // namespace parm
