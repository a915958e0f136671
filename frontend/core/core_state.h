#pragma once

// What the parts of the core share: tables, timers, counters. Every table has
// its full size from the start, so that a burst finds its memory there and
// nothing grows with time.

#include <array>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "base/time.h"
#include "frontend/core/action.h"
#include "frontend/core/agreement_gate.h"
#include "frontend/core/core_counters.h"
#include "frontend/core/core_options.h"
#include "frontend/core/fixed_map.h"
#include "frontend/core/latency_trigger.h"
#include "frontend/core/rare_paths.h"
#include "frontend/core/records.h"
#include "frontend/core/redundancy_unit.h"
#include "frontend/core/run_times.h"
#include "frontend/core/service_mean.h"
#include "frontend/core/slab.h"
#include "frontend/core/timer_queue.h"

namespace parm::core {

/// One call of Handle: the time, and where actions go.
struct Turn {
  Time now;
  ActionSink& out;
};

/// Errors: kInvalidArgument, naming the option.
absl::Status ValidateOptions(const CoreOptions& options);

uint64_t Hash(const LayoutKey& key);

struct CoreState {
  /// Needs: ValidateOptions(options) is OK.
  explicit CoreState(CoreOptions core_options);

  const ModelOptions& model_options(ModelId model) const {
    return options.models[Raw(model)];
  }
  /// Needs: the model uses a code, and has this unit.
  const RedundancyUnit& unit(ModelId model, uint8_t unit) const {
    return units[Raw(model)][unit];
  }
  const RedundancyUnit& unit(const LayoutKey& key) const {
    return unit(key.model, key.unit);
  }
  ModelCounters& model_counters(ModelId model) {
    return counters.models[Raw(model)];
  }
  /// The trigger of a model's tasks of this batch size. Beyond 16 sizes all
  /// further ones share the last.
  LatencyTrigger& trigger(ModelId model, uint32_t samples);

  /// What its tasks of this batch size take of a worker, parity left out.
  ServiceMean& service_mean(ModelId model, uint32_t samples);

  /// How long its copies of this batch size run.
  RunTimes& run_times(ModelId model, uint32_t samples);

  /// The same of its parity queries. No trigger follows their times.
  RunTimes& parity_runs(ModelId model, uint32_t samples);
  LatencyTrigger& parity_times(ModelId model, uint32_t samples);

  /// When a batch that is dispatched at `now` counts as late.
  Time TriggerTime(Time now, const Batch& batch);

  /// Uniform in [0, 1), from the seed.
  double Random();

  void Touch(Batch& batch);
  void Touch(Group& group);

  /// Buffer 0 is none.
  static void Release(const Turn& turn, BufferId* buffer);

  const CoreOptions options;
  CoreCounters counters;
  Slab<Query> queries;
  Slab<Batch> batches;
  Slab<Task> tasks;
  Slab<Group> groups;
  FixedMap<uint64_t, Query*> query_index;
  TimerQueue timers;
  std::vector<uint64_t> num_arrived;               // by ModelId
  std::vector<std::vector<RedundancyUnit>> units;  // by ModelId
  std::vector<AgreementGate> gates;                // by ModelId
  // Tasks that hold a slot, by ModelId and AttemptType.
  std::vector<std::array<uint32_t, kNumAttemptTypes>> in_flight;
  uint32_t open_queries = 0;
  uint64_t buffered_bytes = 0;
  bool draining = false;
  // To be looked at before Handle returns.
  IntrusiveList<Batch, &Batch::touched> touched_batches;
  IntrusiveList<Group, &Group::touched> touched_groups;
  // Answered, but an original may still tell how good a decode was.
  IntrusiveList<Group, &Group::lingering> lingering_groups;

  void Mark(RarePath path) { counters.rare_paths.Mark(path); }

 private:
  struct SizedTimes {
    uint32_t samples = 0;  // 0: free
    LatencyTrigger trigger;
    ServiceMean service;
    RunTimes runs;
  };
  static SizedTimes& FindOrAdd(std::vector<SizedTimes>& sized,
                               uint32_t samples);

  std::vector<std::vector<SizedTimes>> times_;         // by model
  std::vector<std::vector<SizedTimes>> parity_times_;  // by model
  uint64_t random_counter_;
};

}  // namespace parm::core
