#include "frontend/core/worker_ejection.h"

#include <algorithm>

namespace parm::core {

namespace {

// Of the workers that are known: beyond it, trouble is everybody's.
constexpr double kCommonShare = 0.5;
// Of a worker's answers in an interval: so many late ones, and it stands out.
constexpr double kLateShare = 0.5;
constexpr int kMostDoublings = 16;

}  // namespace

WorkerEjection::WorkerEjection(const EjectionOptions& options,
                               WorkerTable& workers, EjectionCounters& counters)
    : options_(options), workers_(workers), counters_(counters) {}

void WorkerEjection::OnAnswer(Time now, Worker& worker, double ratio) {
  EjectionState& state = worker.ejection;
  state.errors_in_row = 0;
  state.unreachable_in_row = 0;
  ++state.answers;
  const bool late =
      options_.latency_factor > 0 && ratio > options_.latency_factor;
  state.late += late ? 1 : 0;
  if (state.stage != EjectionStage::kTrial) return;
  if (late) {
    Eject(now, worker, state.cause);
  } else {
    Readmit(worker);
  }
}

void WorkerEjection::OnError(Time now, Worker& worker) {
  EjectionState& state = worker.ejection;
  ++state.errors_in_row;
  const bool enough = options_.consecutive_5xx > 0 &&
                      state.errors_in_row >= options_.consecutive_5xx;
  if (state.stage == EjectionStage::kTrial) {
    Eject(now, worker, state.cause);
  } else if (enough) {
    MayEject(now, worker, EjectionCause::kConsecutive5xx);
  }
}

void WorkerEjection::OnUnreachable(Time now, Worker& worker) {
  EjectionState& state = worker.ejection;
  ++state.unreachable_in_row;
  const bool enough =
      options_.consecutive_gateway_failure > 0 &&
      state.unreachable_in_row >= options_.consecutive_gateway_failure;
  if (state.stage == EjectionStage::kTrial) {
    Eject(now, worker, state.cause);
  } else if (enough) {
    MayEject(now, worker, EjectionCause::kConsecutiveGatewayFailure);
  }
}

void WorkerEjection::OnRestart(Worker& worker) {
  if (worker.ejected()) --counters_.ejected_now;
  if (worker.ejection.stage != EjectionStage::kIn) Readmit(worker);
  worker.ejection = {};
  WorkerTable::Recount(worker);
}

void WorkerEjection::Readmit(Worker& worker) {
  worker.ejection.stage = EjectionStage::kIn;
  ++counters_.readmitted;
  ++counters_.num_changes;
  counters_.last = {.worker = worker.id, .cause = std::nullopt};
}

bool WorkerEjection::IsLastOne(const Worker& worker) const {
  return std::any_of(
      worker.bundles.begin(), worker.bundles.end(), [&](const Bundle* bundle) {
        return std::none_of(bundle->workers.begin(), bundle->workers.end(),
                            [&](const Worker* other) {
                              return other != &worker && other->takes_tasks() &&
                                     other->ejection.stage ==
                                         EjectionStage::kIn;
                            });
      });
}

void WorkerEjection::MayEject(Time now, Worker& worker, EjectionCause cause) {
  if (worker.ejection.stage != EjectionStage::kIn) return;
  uint32_t known = 0;
  uint32_t in_trouble = 0;
  for (size_t i = 0; i < workers_.size(); ++i) {
    const Worker& other = workers_.at(WorkerId{static_cast<uint32_t>(i)});
    if (other.state == WorkerState::kUnknown) continue;
    ++known;
    const EjectionState& state = other.ejection;
    in_trouble += state.stage != EjectionStage::kIn ||
                          state.errors_in_row > 0 ||
                          state.unreachable_in_row > 0 || IsLate(state)
                      ? 1
                      : 0;
  }
  if (in_trouble > kCommonShare * known) {
    ++counters_.braked;
    return;
  }
  if (100 * (counters_.ejected_now + 1) >
          uint64_t{options_.max_ejection_percent} * known ||
      IsLastOne(worker)) {
    ++counters_.overflow;
    return;
  }
  Eject(now, worker, cause);
}

void WorkerEjection::Eject(Time now, Worker& worker, EjectionCause cause) {
  EjectionState& state = worker.ejection;
  const int doublings = std::min(state.times, kMostDoublings);
  const Duration time =
      std::min(options_.max_ejection_time,
               options_.base_ejection_time * (1 << doublings));
  state = {.stage = EjectionStage::kOut,
           .cause = cause,
           .until = now + time,
           .times = doublings + 1};
  ++counters_.enforced[static_cast<size_t>(cause)];
  ++counters_.ejected_now;
  ++counters_.num_changes;
  counters_.last = {.worker = worker.id, .cause = cause};
  next_trial_ = std::min(next_trial_, state.until);
  WorkerTable::Recount(worker);
}

bool WorkerEjection::IsLate(const EjectionState& state) const {
  return options_.latency_factor > 0 &&
         state.answers >= options_.latency_request_volume &&
         state.late > kLateShare * state.answers;
}

bool WorkerEjection::RunDue(Time now) {
  if (now >= interval_end_) EndInterval(now);
  if (now < next_trial_) return false;
  next_trial_ = kNever;
  bool any = false;
  for (size_t i = 0; i < workers_.size(); ++i) {
    Worker& worker = workers_.at(WorkerId{static_cast<uint32_t>(i)});
    EjectionState& state = worker.ejection;
    if (state.stage != EjectionStage::kOut) continue;
    if (state.until <= now) {
      state.stage = EjectionStage::kTrial;
      worker.pace = {};  // or its old errors would keep the trial from it
      WorkerTable::Recount(worker);
      --counters_.ejected_now;
      any = true;
    } else {
      next_trial_ = std::min(next_trial_, state.until);
    }
  }
  return any;
}

void WorkerEjection::EndInterval(Time now) {
  interval_end_ = now + options_.interval;
  for (size_t i = 0; i < workers_.size(); ++i) {
    Worker& worker = workers_.at(WorkerId{static_cast<uint32_t>(i)});
    if (IsLate(worker.ejection)) {
      MayEject(now, worker, EjectionCause::kLatency);
    }
  }
  for (size_t i = 0; i < workers_.size(); ++i) {
    EjectionState& state =
        workers_.at(WorkerId{static_cast<uint32_t>(i)}).ejection;
    state.answers = 0;
    state.late = 0;
    if (state.stage == EjectionStage::kIn && state.times > 0) --state.times;
  }
}

}  // namespace parm::core
