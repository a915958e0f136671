#pragma once

// The workers and what they serve: who is alive, how much each has to do, and
// which one takes the next task. Roles are what a worker's hello stated, also
// after a restart; nothing is inferred.

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "base/ids.h"
#include "base/time.h"
#include "frontend/core/core_options.h"
#include "frontend/core/ejection_state.h"
#include "frontend/core/event.h"
#include "frontend/core/intrusive_list.h"
#include "frontend/core/peak_ewma.h"
#include "frontend/core/records.h"
#include "frontend/core/redundancy_unit.h"
#include "frontend/core/worker_pace.h"

namespace parm::core {

enum class WorkerState : uint8_t {
  kUnknown,  // never said hello
  kAlive,
  kSilent,  // nothing heard for heartbeat_timeout
  kDown,    // connection lost
};

struct Worker;

/// Whether a worker says when it begins with a task. A process always does, as
/// ours, or never, as other people's servers.
enum class Begins : uint8_t { kUnknown, kTold, kUntold };

/// Of workers that take tasks and are not ejected.
struct Lanes {
  uint64_t all = 0;
  uint64_t busy = 0;  // with ordinary tasks
  uint64_t idle = 0;  // without any
  double busy_share() const {
    return all == 0 ? 1 : static_cast<double>(busy) / static_cast<double>(all);
  }
  bool operator==(const Lanes&) const = default;
};

/// A bundle that some worker serves or served, and what waits for it.
struct Bundle {
  ServedBundle served;
  std::vector<Worker*> workers;                // known, alive or not
  Lanes lanes;                                 // of these
  size_t rotation = 0;                         // where ties begin
  IntrusiveList<Batch, &Batch::wait> waiting;  // oldest first
  IntrusiveList<Parity, &Parity::wait> waiting_parities;
  Link<Bundle> stirred;  // see Dispatcher::Pump
};

struct Worker {
  WorkerId id{};
  WorkerState state = WorkerState::kUnknown;
  bool draining = false;
  // A send was refused: no slot until it is heard, or the penalty is over.
  bool unreachable = false;
  bool freed = false;  // a slot became free; see Dispatcher::Pump
  bool serves_deployed = false;
  Begins begins{};
  uint64_t nonce = 0;
  uint32_t fault_domain = 0;
  uint32_t lanes = 1;
  uint32_t max_in_flight = 1;
  uint32_t outstanding = 0;  // tasks that hold a slot
  uint32_t outstanding_redundant = 0;
  uint64_t outstanding_samples = 0;
  Time last_heard{};
  Time penalised_until{};  // refused or failed a task; see Pick
  Time last_answered{};
  WorkerPace pace;
  PeakEwma ewma;  // kept for worker choice peak_ewma alone
  EjectionState ejection;
  TimerHandle timer{};
  std::vector<Bundle*> bundles;
  Lanes counted;  // as its bundles' lanes have it; see WorkerTable::Recount
  IntrusiveList<Task, &Task::on_worker> tasks;

  bool takes_tasks() const { return state == WorkerState::kAlive && !draining; }
  bool tells_begins() const { return begins != Begins::kUntold; }
  bool ejected() const { return ejection.stage == EjectionStage::kOut; }
};

class WorkerTable {
 public:
  explicit WorkerTable(uint32_t num_workers,
                       const BalancingOptions& balancing = {});

  /// Needs: the id is below num_workers.
  Worker& at(WorkerId id);
  size_t size() const { return workers_.size(); }

  /// Takes over what a hello says. Bundles that no known worker serves any more
  /// are forgotten once nothing waits for them.
  void SetServed(Worker& worker, const WorkerUp& hello);

  /// The worker is as if it had never said hello.
  /// Needs: it has no tasks, and its timer is not armed.
  void Vacate(Worker& worker);

  /// nullptr if no known worker serves it.
  Bundle* Find(BundleKey key) const;
  Bundle& FindOrAdd(BundleKey key);
  /// The bundle that answers this parity query of groups of that layout and has
  /// the most lanes that take tasks: a parity bundle made for their deployed
  /// one and unit, or a backup of their model, if the unit, which is the key's,
  /// takes it. nullptr if none was ever stated.
  Bundle* FindParity(const LayoutKey& key, uint8_t parity_index,
                     const RedundancyUnit& unit);

  /// Whether some worker (other than `except`) could take a task of this
  /// bundle, now or when it has a free slot.
  static bool AnyTakesTasks(const Bundle& bundle, WorkerId except = kNoWorker);

  /// To be called when what decides on a worker's lanes has changed: its state,
  /// draining, ejection, the tasks that hold a slot.
  static void Recount(Worker& worker);
  void SetState(Worker& worker, WorkerState state);

  /// Of the workers that serve the bundle; none if nobody does. With one
  /// ordinary task less at worker `one_less`, which has one.
  Lanes LanesOf(BundleKey key, WorkerId one_less = kNoWorker) const;

  struct PickOptions {
    bool redundant = false;
    const Group* group = nullptr;    // keep away from its workers and domains
    const Batch* copy_of = nullptr;  // never a worker that had one of it
    WorkerId avoid = kNoWorker;      // never this one
    Time now{};
  };

  /// The worker that takes the next task of the bundle; nullptr if none has a
  /// free slot. Who is the best is as the options choose, ties by rotation; a
  /// penalised or ejected worker only if nobody else takes tasks of the bundle;
  /// a worker that holds a part of the group comes after all others; among
  /// those with an idle lane another fault domain comes first. So keeping apart
  /// never costs a task waiting time, but for a second copy of a batch, which
  /// goes to another fault domain than the first where it can.
  /// Cost: O(workers looked at x size of the group): with power_of_two_choices
  /// and peak_ewma all of the bundle's; else until one has no task and keeps
  /// the group apart or, once a lane is idle, 64 in a row were no better.
  Worker* Pick(Bundle& bundle, const PickOptions& pick);

  /// When the task's worker began with it: as it said, or as can be told from
  /// when the task left and the worker last answered.
  static Time BegunAt(const Task& task, const Worker& worker);

  /// Whether this worker has a slot for a task of that kind.
  static bool HasSlot(const Worker& worker, bool redundant);
  /// Whether a member or parity of the group was sent to this worker.
  static bool HoldsPartOf(const Worker& worker, const Group& group);
  /// A part of a group goes to a worker that holds another one only if nobody
  /// else who takes tasks serves the part's bundle.
  static bool MayTakePart(const Worker& worker, const Bundle& bundle,
                          const Group& group);

  const BalancingOptions& balancing() const { return balancing_; }

 private:
  /// What speaks against a worker, by the choice of the options.
  double CostOf(const Worker& worker, const PickOptions& pick) const;
  /// `bars_penalised`: BarsPenalised, once it was asked for.
  static bool MayTake(const Worker& worker, const Bundle& bundle,
                      const PickOptions& pick,
                      std::optional<bool>* bars_penalised);

  /// Somebody takes tasks and is neither penalised nor ejected: those who are
  /// get nothing of this bundle.
  static bool BarsPenalised(const Bundle& bundle, Time now);
  bool SharesDomain(const Worker& worker, const Group& group) const;
  bool SharesDomain(const Worker& worker, const Batch& copy) const;
  void Forget(Worker& worker);

  const BalancingOptions balancing_;
  std::vector<Worker> workers_;
  std::vector<std::unique_ptr<Bundle>> bundles_;
  uint64_t num_draws_ = 0;
};

}  // namespace parm::core
