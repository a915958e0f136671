#pragma once

// A running worker: takes tasks from frontends, queues them for the lanes, and
// sends exactly one terminal reply per task. The loop reads its socket on the
// thread that calls Run, while the lanes compute on theirs, so heartbeats and
// cancellations are answered whatever the model does.
//
//   frontend <-> WorkerSocket <-> WorkerLoop -> TaskQueue -> LanePool
//                                     ^-------- Outbox <--------'

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "backends/faults.h"
#include "backends/lane_pool.h"
#include "backends/local_inbox.h"
#include "backends/outbox.h"
#include "backends/peer_table.h"
#include "backends/served_bundle.h"
#include "backends/task_queue.h"
#include "backends/worker_counters.h"
#include "backends/worker_socket.h"
#include "proto/envelope.pb.h"

namespace parm {

/// Threads: Run on one thread; RequestDrain and Submit on any.
class WorkerLoop {
 public:
  struct Options {
    std::string id;
    std::string fault_domain;
    std::string bind;
    /// As WorkerSocket::Options'.
    CurveKeys keys;
    std::vector<std::string> client_keys;
    int lanes = 1;
    size_t max_queue = 1024;  // tasks that wait for a lane
    uint64_t max_queued_bytes = uint64_t{1} << 30;  // of their inputs
    size_t max_peers = 64;
    size_t max_message_bytes = size_t{256} << 20;
    Duration heartbeat_interval = Milliseconds(100);
    uint64_t fault_seed = 0;
    std::vector<FaultWindow> fault_windows;
    std::optional<Time> fault_epoch;  // windows count from it; default: Create
  };

  /// Binds the socket and starts the lanes.
  /// Needs:  at least one bundle, warmed up.
  /// Errors: as WorkerSocket::Bind; kInvalidArgument if two bundles have one
  ///         id.
  static absl::StatusOr<std::unique_ptr<WorkerLoop>> Create(
      const Options& options,
      std::vector<std::unique_ptr<const ServedBundle>> bundles);

  /// Serves until a requested drain is done: every task it had taken has its
  /// reply, and a second has passed at most for the last of them to leave.
  void Run();

  /// Takes nothing more, finishes what is here, ends Run.
  /// Async-signal-safe.
  void RequestDrain();

  /// Queues a task of this process (backends/http_port.h) as one more
  /// frontend's, of ordinary priority, its draws keyed by its number. Faults
  /// `corrupt` and `duplicate` do not touch its reply.
  /// Errors: as LocalInbox::Push; `done` is then not called.
  absl::Status Submit(LocalTask task);

  /// Whether a drain was requested. Threads: any.
  bool draining() const { return drain_requested_.load(); }

  absl::Span<const std::unique_ptr<const ServedBundle>> bundles() const {
    return bundles_;
  }

  /// tcp://127.0.0.1:PORT, with the port that was picked.
  const std::string& endpoint() const { return socket_->endpoint(); }

  /// Needs: Run has returned, or has not been called.
  const WorkerCounters& counters() const { return counters_; }

 private:
  WorkerLoop(const Options& options,
             std::vector<std::unique_ptr<const ServedBundle>> bundles,
             std::unique_ptr<WorkerSocket> socket,
             std::unique_ptr<Outbox> outbox);

  void TellRefusals();
  void ReceiveMessages();
  void OnMessage(const Incoming& message);
  void OnRefusedEnvelope(const Incoming& message, const absl::Status& refusal);
  void OnHello(Peer* peer, const wire::HelloRequest& request);
  void OnInfer(Peer* peer, const wire::Infer& infer, const Incoming& message);
  void OnCancel(const Peer& peer, TaskId task);
  void HandleLaneEvents();
  void TakeLocalTasks();
  void AnswerLocal(const TaskFinished& finished);
  void OnTimers(Time now);
  void BeginDrain();
  Duration UntilNextTimer(Time now) const;

  absl::StatusOr<Task> MakeTask(const Peer& peer, const wire::Infer& infer,
                                const Incoming& message) const;
  void EndUnstarted(const Task& task, wire::ReplyStatus status,
                    absl::string_view error);
  void Finish(TaskFinished finished);
  void SendTerminal(const TaskFinished& finished);
  void RefuseTask(absl::string_view routing_id, TaskId task,
                  absl::string_view error, bool retryable);
  void ForgetTask(TaskKey key);
  bool SendTo(PeerId id, absl::string_view envelope,
              absl::Span<const Buffer> tensors = {});
  void Broadcast(absl::string_view envelope);
  void DropPeer(PeerId id);
  std::string HeartbeatEnvelope() const;
  std::string DrainEnvelope() const;

  const Options options_;  // Constant after construction, as is what follows.
  const std::vector<std::unique_ptr<const ServedBundle>> bundles_;
  absl::flat_hash_map<std::string, const ServedBundle*> bundle_by_id_;
  const uint64_t instance_nonce_;
  const KeyedDraws draws_;

  std::unique_ptr<WorkerSocket> socket_;
  std::unique_ptr<Outbox> outbox_;
  TaskQueue queue_;
  LocalInbox inbox_;
  absl::flat_hash_map<TaskId, std::function<void(const TaskFinished&)>> local_;
  uint64_t last_local_ = 0;
  PeerTable peers_;
  absl::flat_hash_set<TaskKey> live_;       // taken, no terminal reply yet
  std::multimap<Time, TaskFinished> held_;  // replies that a fault delays
  std::vector<LaneEvent> lane_events_;
  Time next_heartbeat_;
  Time next_expiry_ = kNever;  // no waiting task expires before it
  bool draining_ = false;
  WorkerCounters counters_;
  std::atomic<bool> drain_requested_ = false;  // set by a signal handler
  std::unique_ptr<LanePool> lanes_;  // Last: ends before what it uses.
};

}  // namespace parm
