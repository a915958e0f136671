#include "frontend/core/worker_table.h"

#include <algorithm>
#include <compare>
#include <optional>
#include <tuple>
#include <utility>

#include "base/status_macros.h"
#include "frontend/core/fixed_map.h"

namespace parm::core {

namespace {

// Of a worker without an idle lane, in median service times.
constexpr double kLeastWait = 0.01;
// A task of this age is late. Well below what makes an answer slow: to wait
// behind a slow job costs more than to pass by one that is about to end.
constexpr double kLate = 1.2;
constexpr double kMostDone = 0.9;
// So many in a row are looked at, once a lane is idle, for a worker in another
// fault domain or with less to do: where the group has parts in every domain,
// or no worker is without a task, there is none.
constexpr size_t kMostLooks = 64;

// Orders candidates: the least wins.
struct Rank {
  bool same_worker;
  bool copy_in_domain;
  double wait;  // 0 if a lane is idle and nothing speaks against the worker
  bool same_domain;
  double load;
  auto operator<=>(const Rank&) const = default;
};

// Samples ahead of a new task, per lane.
double LoadOf(const Worker& worker) {
  return static_cast<double>(worker.outstanding_samples) / worker.lanes;
}

// The task that the worker is at, as far as can be told: the oldest that it
// said it began; from a worker that says nothing, the oldest ordinary one.
const Task* RunningTask(const Worker& worker) {
  using Tasks = decltype(worker.tasks);
  const Task* oldest = nullptr;
  for (const Task* task = worker.tasks.front(); task != nullptr;
       task = Tasks::Next(*task)) {
    if (!task->holds_slot) continue;
    if (task->begun != Time{}) return task;
    if (oldest == nullptr || (oldest->redundant && !task->redundant)) {
      oldest = task;
    }
  }
  return oldest;
}

// What a new task waits for here, and what it takes longer than elsewhere, in
// median service times. A task that is under way leaves the less to wait for
// the older it is; one that is late is likely to go on for as long again.
double WaitOf(const Worker& worker, bool redundant, Time now) {
  const double excess = worker.pace.Excess(now);
  if (worker.outstanding < worker.lanes) return excess;
  const Task* const running = RunningTask(worker);
  const bool yields = running != nullptr && running->redundant;
  const uint32_t tasks = redundant ? worker.outstanding
                                   : worker.outstanding -
                                         worker.outstanding_redundant +
                                         (yields ? 1 : 0);
  double wait = LoadOf(worker) * tasks / worker.outstanding;
  const Duration median = running == nullptr || running->trigger == nullptr
                              ? Duration{0}
                              : running->trigger->median();
  if (median > Duration{0}) {
    const double age = ToSeconds(now - WorkerTable::BegunAt(*running, worker)) /
                       ToSeconds(median);
    wait += (age < kLate ? -std::min(age, kMostDone) : age) / worker.lanes;
  }
  return std::max(wait, kLeastWait) * (1 + excess);
}

// Calls visit(worker id) for everybody who was sent a part of the group.
template <typename Visit>
bool AnyPartAt(const Group& group, Visit visit) {
  for (int i = 0; i < group.num_members; ++i) {
    const Batch* member = group.members[static_cast<size_t>(i)];
    if (member->worker != kNoWorker && visit(member->worker)) return true;
  }
  for (int i = 0; i < group.num_parities; ++i) {
    const Parity& parity = group.parities[static_cast<size_t>(i)];
    if (parity.worker != kNoWorker && visit(parity.worker)) return true;
  }
  return false;
}

Lanes LanesAt(const Worker& worker) {
  if (!worker.takes_tasks() || worker.ejected()) return {};
  const uint32_t ordinary = worker.outstanding - worker.outstanding_redundant;
  return {.all = worker.lanes,
          .busy = std::min(worker.lanes, ordinary),
          .idle = worker.lanes - std::min(worker.lanes, worker.outstanding)};
}

// Sums are taken modulo 2^64 on the way, and are right in the end.
void Move(const Lanes& from, const Lanes& to, Lanes* sum) {
  sum->all += to.all - from.all;
  sum->busy += to.busy - from.busy;
  sum->idle += to.idle - from.idle;
}

bool HasHadCopy(const Worker& worker, const Batch& batch) {
  return std::find(batch.tried.begin(), batch.tried.end(), worker.id) !=
         batch.tried.end();
}

}  // namespace

Time WorkerTable::BegunAt(const Task& task, const Worker& worker) {
  if (task.begun != Time{}) return task.begun;
  if (!task.queued) return task.copy.dispatched;
  return std::max(task.copy.dispatched, worker.last_answered);
}

WorkerTable::WorkerTable(uint32_t num_workers,
                         const BalancingOptions& balancing)
    : balancing_(balancing), workers_(num_workers) {
  for (uint32_t i = 0; i < num_workers; ++i) workers_[i].id = WorkerId{i};
}

Worker& WorkerTable::at(WorkerId id) {
  PARM_CHECK(Raw(id) < workers_.size());
  return workers_[Raw(id)];
}

void WorkerTable::Forget(Worker& worker) {
  for (Bundle* bundle : worker.bundles) {
    std::erase(bundle->workers, &worker);
    bundle->rotation = 0;
    Move(worker.counted, {}, &bundle->lanes);
  }
  worker.bundles.clear();
  worker.counted = {};
  worker.serves_deployed = false;
  std::erase_if(bundles_, [](const std::unique_ptr<Bundle>& bundle) {
    return bundle->workers.empty() && bundle->waiting.empty() &&
           bundle->waiting_parities.empty();
  });
}

void WorkerTable::SetServed(Worker& worker, const WorkerUp& hello) {
  Forget(worker);
  worker.nonce = hello.nonce;
  worker.fault_domain = hello.fault_domain;
  worker.lanes = std::max(1U, hello.lanes);
  worker.max_in_flight = std::max(1U, hello.max_in_flight);
  for (const ServedBundle& served : hello.bundles) {
    Bundle& bundle = FindOrAdd(served.bundle);
    if (std::find(worker.bundles.begin(), worker.bundles.end(), &bundle) !=
        worker.bundles.end()) {
      continue;
    }
    bundle.served = served;
    bundle.workers.push_back(&worker);
    worker.bundles.push_back(&bundle);
    worker.serves_deployed |= served.role == BundleRole::kDeployed;
  }
  Recount(worker);
}

void WorkerTable::Recount(Worker& worker) {
  const Lanes now = LanesAt(worker);
  for (Bundle* bundle : worker.bundles) {
    Move(worker.counted, now, &bundle->lanes);
  }
  worker.counted = now;
}

void WorkerTable::SetState(Worker& worker, WorkerState state) {
  worker.state = state;
  Recount(worker);
}

void WorkerTable::Vacate(Worker& worker) {
  Forget(worker);
  worker.state = WorkerState::kUnknown;
  worker.draining = false;
  worker.unreachable = false;
  worker.nonce = 0;
  worker.penalised_until = Time{};
  worker.last_answered = Time{};
  worker.pace = {};
  worker.ewma = {};
  worker.begins = Begins::kUnknown;
  worker.ejection = {};
}

Bundle* WorkerTable::Find(BundleKey key) const {
  for (const std::unique_ptr<Bundle>& bundle : bundles_) {
    if (bundle->served.bundle == key) return bundle.get();
  }
  return nullptr;
}

Bundle& WorkerTable::FindOrAdd(BundleKey key) {
  if (Bundle* const found = Find(key)) return *found;
  bundles_.push_back(std::make_unique<Bundle>());
  bundles_.back()->served.bundle = key;
  return *bundles_.back();
}

Bundle* WorkerTable::FindParity(const LayoutKey& key, uint8_t parity_index,
                                const RedundancyUnit& unit) {
  const auto suits = [&](const ServedBundle& served) {
    if (unit.answered_by.value_or(served.role) != served.role) return false;
    return (served.role == BundleRole::kParity &&
            served.deployed == key.deployed && served.unit == key.unit) ||
           (served.role == BundleRole::kBackup && unit.packs &&
            served.model == key.model);
  };
  Bundle* best = nullptr;
  int64_t most = -1;
  for (const std::unique_ptr<Bundle>& bundle : bundles_) {
    const ServedBundle& served = bundle->served;
    if (bundle->workers.empty() || served.parity_index != parity_index ||
        !suits(served)) {
      continue;
    }
    const auto lanes = static_cast<int64_t>(bundle->lanes.all);
    if (lanes > most) {
      most = lanes;
      best = bundle.get();
    }
  }
  return best;
}

bool WorkerTable::AnyTakesTasks(const Bundle& bundle, WorkerId except) {
  return std::any_of(bundle.workers.begin(), bundle.workers.end(),
                     [except](const Worker* worker) {
                       return worker->takes_tasks() && worker->id != except;
                     });
}

Lanes WorkerTable::LanesOf(BundleKey key, WorkerId one_less) const {
  const Bundle* const bundle = Find(key);
  if (bundle == nullptr) return {};
#ifndef NDEBUG
  Lanes counted;
  for (const Worker* worker : bundle->workers) {
    Move({}, LanesAt(*worker), &counted);
  }
  PARM_CHECK(counted == bundle->lanes);  // somebody forgot to Recount
#endif
  Lanes lanes = bundle->lanes;
  if (one_less != kNoWorker) {
    const Worker& worker = workers_[Raw(one_less)];
    const uint32_t ordinary = worker.outstanding - worker.outstanding_redundant;
    // Its counted lanes are in the sum if it serves the bundle.
    if (worker.counted.busy > 0 && ordinary <= worker.lanes &&
        std::find(worker.bundles.begin(), worker.bundles.end(), bundle) !=
            worker.bundles.end()) {
      --lanes.busy;
    }
  }
  return lanes;
}

bool WorkerTable::HasSlot(const Worker& worker, bool redundant) {
  if (!worker.takes_tasks() || worker.unreachable ||
      worker.outstanding >= worker.max_in_flight) {
    return false;
  }
  if (worker.ejection.stage == EjectionStage::kTrial &&
      worker.outstanding > 0) {
    return false;
  }
  // Where ordinary tasks run too, redundant ones leave half of the slots: of
  // the idle lanes too, as a task that runs does not yield. One alone may come,
  // or a worker of a single slot would never take any.
  return !redundant || !worker.serves_deployed || worker.outstanding == 0 ||
         2 * (worker.outstanding_redundant + 1) <= worker.max_in_flight;
}

bool WorkerTable::HoldsPartOf(const Worker& worker, const Group& group) {
  return AnyPartAt(group, [&](WorkerId id) { return id == worker.id; });
}

bool WorkerTable::SharesDomain(const Worker& worker, const Group& group) const {
  return AnyPartAt(group, [&](WorkerId id) {
    return workers_[Raw(id)].fault_domain == worker.fault_domain;
  });
}

bool WorkerTable::SharesDomain(const Worker& worker, const Batch& copy) const {
  return std::any_of(copy.tried.begin(), copy.tried.end(), [&](WorkerId tried) {
    return tried != kNoWorker &&
           workers_[Raw(tried)].fault_domain == worker.fault_domain;
  });
}

bool WorkerTable::MayTakePart(const Worker& worker, const Bundle& bundle,
                              const Group& group) {
  if (!HoldsPartOf(worker, group)) return true;
  return std::none_of(
      bundle.workers.begin(), bundle.workers.end(), [&](const Worker* other) {
        return other->takes_tasks() && !HoldsPartOf(*other, group);
      });
}

bool WorkerTable::BarsPenalised(const Bundle& bundle, Time now) {
  return std::any_of(
      bundle.workers.begin(), bundle.workers.end(), [now](const Worker* other) {
        return other->takes_tasks() && other->penalised_until <= now &&
               !other->ejected();
      });
}

double WorkerTable::CostOf(const Worker& worker,
                           const PickOptions& pick) const {
  switch (balancing_.choice) {
    case WorkerChoice::kExpectedWait:
      return WaitOf(worker, pick.redundant, pick.now);
    case WorkerChoice::kPeakEwma:
      return worker.ewma.ValueAt(pick.now, balancing_.decay_time,
                                 balancing_.default_rtt) *
             (LoadOf(worker) + 1);
    case WorkerChoice::kPowerOfTwoChoices:
      return LoadOf(worker);
    case WorkerChoice::kRoundRobin:
      break;
  }
  return 0;
}

bool WorkerTable::MayTake(const Worker& worker, const Bundle& bundle,
                          const PickOptions& pick,
                          std::optional<bool>* bars_penalised) {
  if (!HasSlot(worker, pick.redundant) || worker.id == pick.avoid) return false;
  if (pick.copy_of != nullptr && HasHadCopy(worker, *pick.copy_of)) {
    return false;
  }
  if (worker.penalised_until <= pick.now && !worker.ejected()) return true;
  if (!*bars_penalised) *bars_penalised = BarsPenalised(bundle, pick.now);
  return !**bars_penalised;
}

Worker* WorkerTable::Pick(Bundle& bundle, const PickOptions& pick) {
  struct Candidate {
    Worker* worker = nullptr;
    size_t position = 0;
    Rank rank{};
    uint64_t ticket = 0;
    // Keeping apart comes before the draw.
    auto drawn_before(const Candidate& other) const {
      return std::tie(rank.same_worker, rank.copy_in_domain, ticket) <
             std::tie(other.rank.same_worker, other.rank.copy_in_domain,
                      other.ticket);
    }
  };
  const size_t n = bundle.workers.size();
  const bool of_two = balancing_.choice == WorkerChoice::kPowerOfTwoChoices;
  Candidate best;
  Candidate second;                    // of the two that were drawn
  std::optional<bool> bars_penalised;  // found out when it matters
  size_t num_steps = n;
  for (size_t step = 0; step < num_steps; ++step) {
    size_t position = bundle.rotation + step;
    if (position >= n) position -= n;
    Worker* const worker = bundle.workers[position];
    if (!MayTake(*worker, bundle, pick, &bars_penalised)) continue;
    Candidate candidate = {.worker = worker, .position = position};
    Rank& rank = candidate.rank;
    rank = {
        .same_worker = false,
        .copy_in_domain =
            pick.copy_of != nullptr && SharesDomain(*worker, *pick.copy_of),
        .wait = CostOf(*worker, pick),
        .same_domain = false,
        .load = balancing_.choice == WorkerChoice::kRoundRobin
                    ? 0
                    : LoadOf(*worker),
    };
    if (pick.group != nullptr) {
      rank.same_worker = HoldsPartOf(*worker, *pick.group);
      rank.same_domain = SharesDomain(*worker, *pick.group);
    }
    if (of_two) {
      candidate.ticket = MixBits(++num_draws_);
      if (best.worker == nullptr || candidate.drawn_before(best)) {
        second = std::exchange(best, candidate);
      } else if (second.worker == nullptr || candidate.drawn_before(second)) {
        second = candidate;
      }
    } else if (best.worker == nullptr || rank < best.rank) {
      best = candidate;
      if (rank == Rank{}) break;  // no task, and apart: nobody beats it
      // An idle lane, or that waits do not count: only a domain apart and less
      // load are better.
      const bool begins_at_once =
          !rank.same_worker && !rank.copy_in_domain && rank.wait == 0;
      if (begins_at_once) num_steps = std::min(n, step + kMostLooks);
    }
  }
  if (second.worker != nullptr && second.rank < best.rank) best = second;
  if (best.worker != nullptr) {
    bundle.rotation = best.position + 1 == n ? 0 : best.position + 1;
  }
  return best.worker;
}

}  // namespace parm::core
