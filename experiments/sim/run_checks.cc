#include "experiments/sim/run_checks.h"

#include <array>

namespace parm::sim {

using core::AttemptType;

namespace {

// Answers that a model gave. Exact-only queries get no reconstructed ones; that
// is the query book's check.
uint64_t NumServed(const core::CoreCounters& counters) {
  uint64_t served = 0;
  for (const core::ModelCounters& model : counters.models) {
    for (const core::AnswerSource source :
         {core::AnswerSource::kExact, core::AnswerSource::kHedged,
          core::AnswerSource::kReconstructed, core::AnswerSource::kBackup}) {
      served += model.answers[static_cast<size_t>(source)];
    }
  }
  return served;
}

}  // namespace

Snapshot TakeSnapshot(const core::CoreCounters& counters,
                      const std::vector<SimWorker>& workers) {
  Snapshot snapshot = {.counters = counters};
  for (const SimWorker& worker : workers) {
    snapshot.tasks_by_worker.push_back(worker.num_tasks());
  }
  return snapshot;
}

void CheckBurst(const Scenario& scenario, const Snapshot& before,
                const Snapshot& after, uint64_t burst_size,
                Violations& violations) {
  const uint64_t served =
      NumServed(after.counters) - NumServed(before.counters);
  violations.Check(served == burst_size, "after recovery only ", served, " of ",
                   burst_size, " queries were answered by a model");
  for (size_t i = 0; i < scenario.workers.size(); ++i) {
    violations.Check(after.tasks_by_worker[i] > before.tasks_by_worker[i] ||
                         !ServesDeployed(scenario.workers[i]),
                     "worker does not work again: ", i);
  }
  for (size_t m = 0; m < scenario.core.models.size(); ++m) {
    const core::ModelOptions& model = scenario.core.models[m];
    // The others form no groups, or not under the load of a burst.
    if (model.policy != core::PolicyKind::kCoded &&
        model.policy != core::PolicyKind::kBackup) {
      continue;
    }
    const core::ModelCounters& now = after.counters.models[m];
    const core::ModelCounters& then = before.counters.models[m];
    // A group needs k batches at once, and its parity a worker that is not
    // busy with ordinary tasks before the members are answered.
    const bool can_fill =
        NumSlots(scenario) >= static_cast<uint32_t>(model.code->spec().k);
    violations.Check(
        !can_fill || now.groups_closed_full > then.groups_closed_full,
        "groups do not form again: model ", m);
    const bool can_help = can_fill &&
                          !ServesDeployed(scenario.workers.back()) &&
                          scenario.encode_time < scenario.service / 2;
    constexpr auto kParity = static_cast<size_t>(AttemptType::kParity);
    violations.Check(!can_help || now.tasks[kParity] > then.tasks[kParity],
                     "parity is not sent again: model ", m);
  }
}

void CheckForgotten(const core::CoreSizes& sizes, Performer& world) {
  Violations& violations = world.violations;
  violations.Check(sizes.queries == 0, "queries left: ", sizes.queries);
  violations.Check(sizes.batches == 0, "batches left: ", sizes.batches);
  violations.Check(sizes.tasks == 0, "tasks left: ", sizes.tasks);
  violations.Check(sizes.groups == 0, "groups left: ", sizes.groups);
  violations.Check(sizes.open_groups == 0,
                   "open groups left: ", sizes.open_groups);
  violations.Check(sizes.timers == 0, "timers left: ", sizes.timers);
  violations.Check(sizes.buffered_bytes == 0,
                   "bytes left: ", sizes.buffered_bytes);
  violations.Check(world.buffers.num_held() == 0,
                   "buffers left: ", world.buffers.num_held());
  world.queries.CheckAllEnded();
}

void CheckCounters(const core::CoreCounters& counters, Performer& world) {
  Violations& violations = world.violations;
  std::array<uint64_t, core::kNumSources> answers{};
  std::array<uint64_t, 4> tasks{};
  uint64_t abandoned = 0;
  for (const core::ModelCounters& model : counters.models) {
    abandoned += model.abandoned;
    for (size_t i = 0; i < answers.size(); ++i) {
      answers[i] += model.answers[i];
      violations.Check(
          static_cast<uint64_t>(model.latency[i].count()) == model.answers[i],
          "latencies and answers differ");
    }
    for (size_t i = 0; i < tasks.size(); ++i) tasks[i] += model.tasks[i];
    violations.Check(model.quality_agreed == model.quality_compared,
                     "a decode disagreed with its original");
  }
  violations.Check(answers == world.queries.by_source(),
                   "answers are counted wrongly");
  violations.Check(abandoned == world.queries.num_abandoned(),
                   "abandoned queries are counted wrongly: got ", abandoned);
  violations.Check(
      world.queries.num_answered() + abandoned == world.queries.size(),
      "answers do not add up to the queries");
  for (const AttemptType attempt :
       {AttemptType::kOriginal, AttemptType::kRetry, AttemptType::kHedge,
        AttemptType::kParity}) {
    violations.Check(
        tasks[static_cast<size_t>(attempt)] == world.num_tasks(attempt),
        "tasks are counted wrongly");
  }
}

}  // namespace parm::sim
