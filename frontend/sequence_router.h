#pragma once

// Sequences: requests that belong to one server, which keeps state between
// them. They bypass the core, batches, codes and hedges: each step goes alone
// to the server that the first one went to, one at a time and in their order,
// and is never tried elsewhere. When that server is gone, so is its state: the
// sequence has failed until it is started anew. Steps [2] to [7] of such a
// query's life, between the frontend loop and the transport.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/ids.h"
#include "base/time.h"
#include "frontend/buffer_table.h"
#include "frontend/core/action.h"
#include "frontend/core/event.h"
#include "frontend/loop_counters.h"
#include "frontend/model_catalog.h"
#include "frontend/request_context.h"
#include "frontend/sequence_options.h"
#include "frontend/task_ledger.h"
#include "frontend/upstream/worker_transport.h"
#include "frontend/worker_board.h"

namespace parm {

/// Threads: the loop's only.
/// Bound:   SequenceOptions; one step of a sequence, and max_in_flight steps of
///          all, at a server at a time, beside the core's tasks.
class SequenceRouter {
 public:
  struct Parts {  // What is pointed to outlives the router.
    BufferTable* buffers = nullptr;
    TaskLedger* ledger = nullptr;
    const ModelCatalog* catalog = nullptr;
    const WorkerBoard* workers = nullptr;
    WorkerTransport* upstream = nullptr;
    LoopCounters* counters = nullptr;
    /// Of steps that were taken: the answer, or why there is none. Not called
    /// again for a step that was abandoned. The buffer is good during the call.
    std::function<void(const core::AnswerQuery&)> on_answer;
    std::function<void(QueryId, const absl::Status&)> on_failure;
    /// By WorkerId; 0: a worker that knows no sequences.
    std::vector<uint32_t> max_in_flight;
    Duration keep_tasks{0};  // in the ledger past their deadline
  };
  struct Step {
    QueryId query;
    ModelId model;
    SequenceStep step;
    TensorSet inputs;
    Time deadline;
  };

  SequenceRouter(const SequenceOptions& options, Parts parts);

  /// Errors: kUnimplemented if no configured worker knows sequences;
  /// kInvalidArgument for one that is not open and is not started by this step;
  /// kUnavailable if its server is gone, or there is none to start it at;
  /// kResourceExhausted beyond a bound. `on_answer`, `on_failure` do not run
  /// for this query then.
  absl::Status Take(Step step, BundleKey bundle, Time now);

  /// Nobody waits for it; a step that is with its server goes on. False if
  /// it is no query of a sequence that waits.
  bool Abandon(QueryId query);

  /// Whether a task is one of those sent here.
  static bool Owns(TaskId task) { return (Raw(task) & kOwnTasks) != 0; }
  /// Without `reply` the ledger does not know the task (any more): the end of a
  /// step that was given up is told late if the loop is.
  void OnReply(TaskId task, WorkerId worker,
               const std::optional<core::TaskReplied>& reply, Time now);

  /// The worker lives: what it had no room for is tried again.
  void OnHeard(WorkerId worker, Time now) { Pump(worker, now); }
  /// The worker, or the process that it was, is gone.
  void OnLost(WorkerId worker, Time now);

  /// When OnTime wants to be called.
  Time next_wake() const;
  /// Ends steps past their deadline and forgets idle sequences.
  void OnTime(Time now);

  size_t size() const { return sequences_.size(); }

 private:
  // Above all ids of the core's slab.
  static constexpr uint64_t kOwnTasks = uint64_t{1} << 63;

  using Key = std::pair<ModelId, std::string>;
  struct Waiting {
    QueryId query{};
    BufferId input{};
    Time deadline{};
  };
  struct Sequence {
    const Key* key = nullptr;
    WorkerId worker{};
    BundleKey bundle{};
    bool failed = false;   // its server is gone
    bool ending = false;   // its latest step says that it is the last
    bool in_line = false;  // of its server
    std::optional<TaskId> at_server;
    QueryId asked{};  // by that task
    std::deque<Waiting> waiting;
    Time last_used{};
    std::list<Sequence*>::iterator by_use;

    bool idle() const { return !at_server && !in_line; }
  };
  struct Server {
    size_t sequences = 0;  // that have not failed
    uint32_t in_flight = 0;
    std::deque<Sequence*> line;  // those whose next step can be sent
  };
  struct Query {
    Sequence* sequence = nullptr;
    ModelId model{};
    Time arrived{};
    Time deadline{};
    int64_t rows = 0;
  };

  absl::StatusOr<Sequence*> FindOrOpen(const Step& step, BundleKey bundle,
                                       Time now);
  std::optional<WorkerId> LeastUsed(ModelId model, Time now) const;
  void Touch(Sequence& sequence, Time now);
  void Close(Sequence& sequence);
  void StandInLine(Sequence& sequence);
  // Sends what its server has room for.
  void Pump(WorkerId worker, Time now);
  absl::Status Send(Sequence& sequence, const Waiting& step, Time now);
  // Its step is over: the next one stands in line, or it is closed.
  void Proceed(Sequence& sequence);
  void CloseIfEnded(Sequence& sequence);
  // Its server is gone.
  void Fail(Sequence& sequence, Time now);
  static absl::Status Gone(const Sequence& sequence);
  void End(const core::TaskReplied& reply, Time now);
  void Withdraw(Sequence& sequence, QueryId query);
  std::optional<Query> Forget(QueryId query);
  void Answer(core::AnswerQuery answer, Time now);
  void Refuse(QueryId query, const absl::Status& why, Time now);
  void Count(const Query& query, bool answered, Time now);
  Server& ServerOf(WorkerId worker) { return servers_.at(Raw(worker)); }
  const Server& ServerOf(WorkerId worker) const {
    return servers_.at(Raw(worker));
  }

  const SequenceOptions options_;
  const Parts parts_;
  uint64_t last_task_ = 0;
  std::map<Key, Sequence> sequences_;
  std::list<Sequence*> by_use_;                    // longest unused first
  std::vector<Server> servers_;                    // by WorkerId
  std::unordered_map<uint64_t, Query> queries_;    // that somebody waits for
  std::set<std::pair<Time, uint64_t>> deadlines_;  // of queries_
  std::unordered_map<uint64_t, Sequence*> by_task_;
};

}  // namespace parm
