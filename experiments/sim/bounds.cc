#include "experiments/sim/bounds.h"

#include <algorithm>
#include <functional>
#include <queue>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "experiments/sim/arrival_stream.h"
#include "experiments/sim/job_plans.h"
#include "frontend/core/luck.h"

namespace parm::sim {

namespace {

// Workers that are weighed for one query.
constexpr size_t kMostChoices = 64;

// What an oracle cannot avoid: what holds at all workers. Where machines differ
// it takes those that are fast.
LoadScenario Unavoidable(const LoadScenario& scenario) {
  LoadScenario left = WithoutFaults(scenario);
  for (const FaultWindow& window : scenario.faults) {
    if (window.slow_mode_factor == 1) continue;
    left.faults.push_back({.start = window.start,
                           .length = window.length,
                           .slow_mode_factor = window.slow_mode_factor});
  }
  left.trace = scenario.trace;
  if (left.trace) {
    for (double& slowdown : left.trace->slowdowns) {
      slowdown = std::min(slowdown, 1.0);
    }
  }
  return left;
}

// The first copy of a query, as the core would name it.
SimTask FirstCopy(const Arrival& arrival) {
  return {.work = arrival.samples,
          .attempt = core::AttemptType::kOriginal,
          .luck = Raw(core::LuckOf({.query_number = arrival.number}))};
}

// When a query's answer leaves its worker, or its deadline if none does before.
class Bound {
 public:
  virtual ~Bound() = default;
  virtual Duration Done(const Arrival& arrival, Duration deadline) = 0;
};

class Oracle final : public Bound {
 public:
  Oracle(const LoadScenario& scenario, const Draws& draws, uint64_t seed)
      : scenario_(Unavoidable(scenario)),
        plans_(scenario_, draws, seed, /*parity_cost=*/1) {
    for (uint32_t i = 0; i < scenario.num_workers; ++i) idle_.push_back(i);
  }

  Duration Done(const Arrival& arrival, Duration deadline) override {
    while (!busy_.empty() && busy_.top().first <= arrival.at) {
      idle_.push_back(busy_.top().second);
      busy_.pop();
    }
    Duration begin = arrival.at;
    if (idle_.empty()) {
      begin = busy_.top().first;
      idle_.push_back(busy_.top().second);
      busy_.pop();
    }
    const SimTask task = FirstCopy(arrival);
    const size_t choices = std::min(idle_.size(), kMostChoices);
    size_t best = 0;
    Duration service = Duration::max();
    for (size_t i = idle_.size() - choices; i < idle_.size(); ++i) {
      const Duration here = plans_.Plan(Time{} + begin, idle_[i], task).service;
      if (here < service) {
        service = here;
        best = i;
      }
    }
    // What would come too late it leaves alone.
    const bool in_time = begin + service < deadline;
    busy_.emplace(in_time ? begin + service : begin, idle_[best]);
    idle_.erase(idle_.begin() + static_cast<std::ptrdiff_t>(best));
    return in_time ? begin + service : deadline;
  }

 private:
  using Busy = std::pair<Duration, uint32_t>;  // until, worker

  const LoadScenario scenario_;
  JobPlans plans_;
  std::vector<uint32_t> idle_;
  std::priority_queue<Busy, std::vector<Busy>, std::greater<>> busy_;
};

class InfiniteServers final : public Bound {
 public:
  InfiniteServers(const LoadScenario& scenario, const Draws& draws,
                  uint64_t seed)
      : num_workers_(scenario.num_workers),
        plans_(scenario, draws, seed, /*parity_cost=*/1) {}

  Duration Done(const Arrival& arrival, Duration /*deadline*/) override {
    const SimTask task = FirstCopy(arrival);
    const auto copies =
        std::min(num_workers_, static_cast<uint32_t>(kMostChoices));
    Duration least = Duration::max();
    for (uint32_t i = 0; i < copies; ++i) {
      const auto worker =
          static_cast<uint32_t>((arrival.number + i) % num_workers_);
      const JobPlan plan = plans_.Plan(Time{} + arrival.at, worker, task);
      least = std::min(least, plan.service + plan.reply_delay);
    }
    return arrival.at + least;
  }

 private:
  const uint32_t num_workers_;
  JobPlans plans_;
};

LoadRun Measure(const LoadScenario& scenario, const Candidate& candidate,
                ArrivalStream arrivals, Bound& bound) {
  const Duration deadline = candidate.model().deadline;
  const Duration network = 2 * scenario.network_min;
  LoadRun run{.entry = {}, .tally = LoadTally(deadline)};
  LoadTally& tally = run.tally;
  Duration first{0};
  Duration last{0};
  while (tally.num_queries() < static_cast<int64_t>(scenario.num_queries)) {
    const Arrival arrival = arrivals.Next();
    const Duration until = arrival.at + deadline;
    const Duration done =
        std::min(until, bound.Done(arrival, until - network) + network);
    ++run.num_events;
    if (arrival.at < scenario.warm_up) continue;
    if (tally.num_queries() == 0) first = arrival.at;
    last = arrival.at;
    const FinishedQuery query = {
        .outcome = done < until ? Outcome::kExact : Outcome::kError,
        .latency = done - arrival.at,
        .latency_from_send = done - arrival.at,
        .clean_service = CleanService(scenario, arrival.samples)};
    tally.Record(query);
    run.queries.push_back({.due = arrival.at,
                           .latency = query.latency,
                           .outcome = query.outcome});
  }
  run.virtual_time = last;
  FillSimulatedEntry(scenario, tally, last - first, &run.entry);
  run.entry.policy = candidate.policy;
  return run;
}

}  // namespace

bool IsBound(absl::string_view policy) {
  return policy == kOracle || policy == kInfiniteServers;
}

absl::StatusOr<LoadRun> RunBound(const LoadScenario& scenario,
                                 const Candidate& candidate, uint64_t seed) {
  PARM_RETURN_IF_ERROR(CheckWorkers(scenario));
  if (!IsBound(candidate.policy)) {
    return absl::InvalidArgumentError(
        absl::StrCat("no bound is called so: ", candidate.policy));
  }
  const Draws draws(seed);
  const ArrivalStream arrivals(scenario, draws);
  if (candidate.policy == kInfiniteServers) {
    InfiniteServers bound(scenario, draws, seed);
    return Measure(scenario, candidate, arrivals, bound);
  }
  Oracle bound(scenario, draws, seed);
  LoadRun run = Measure(scenario, candidate, arrivals, bound);
  run.entry.extra_jobs_per_query = 0;
  run.entry.extra_service_per_query = 0;
  run.entry.wasted_service_per_query = 0;
  return run;
}

}  // namespace parm::sim
