#include "frontend/core/core_state.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace parm::core {

namespace {

constexpr size_t kMaxTriggerSizes = 16;

uint64_t LargestGroup(const CoreOptions& options) {
  int k = 1;
  for (const ModelOptions& model : options.models) {
    for (size_t unit = 0; unit < model.num_units(); ++unit) {
      k = std::max(k, model.code_of(unit)->spec().k);
    }
  }
  return static_cast<uint64_t>(k);
}

uint32_t NumQueryRecords(const CoreOptions& options) {
  return static_cast<uint32_t>(2 * uint64_t{options.max_queries} +
                               options.ledger_room);
}
uint32_t NumBatchRecords(const CoreOptions& options) {
  return static_cast<uint32_t>(uint64_t{options.max_queries} *
                                   (LargestGroup(options) + 1) +
                               options.ledger_room);
}
uint32_t NumTaskRecords(const CoreOptions& options) {
  return static_cast<uint32_t>(4 * uint64_t{options.max_queries} +
                               options.ledger_room);
}
uint32_t NumGroupRecords(const CoreOptions& options) {
  return static_cast<uint32_t>(uint64_t{options.max_queries} +
                               options.ledger_room);
}

bool IsShare(double value) { return value >= 0 && value <= 1; }

absl::Status Invalid(const ModelOptions& model, const char* what) {
  return absl::InvalidArgumentError(
      absl::StrCat(what, ": in model \"", model.name, "\""));
}

absl::Status ValidateDecode(const ModelOptions& model) {
  const DecodeOptions& decode = model.decode;
  if (!(decode.trigger_quantile >= 0 && decode.trigger_quantile < 1)) {
    return Invalid(model, "trigger quantile must be in [0, 1)");
  }
  if (decode.trigger_min < Duration{0} || decode.slack < Duration{0}) {
    return Invalid(model, "decode times must not be negative");
  }
  if (decode.trigger_max && *decode.trigger_max < decode.trigger_min) {
    return Invalid(model, "trigger max is below trigger min");
  }
  if ((decode.min_confidence && !IsShare(*decode.min_confidence)) ||
      (decode.floor && !IsShare(*decode.floor))) {
    return Invalid(model, "min_confidence and floor must be in [0, 1]");
  }
  if (decode.min_agreement && !IsShare(*decode.min_agreement)) {
    return Invalid(model, "min_agreement must be in [0, 1]");
  }
  if (decode.min_confidence && decode.floor &&
      *decode.floor > *decode.min_confidence) {
    return Invalid(model, "floor is above min_confidence");
  }
  if (!(decode.max_noise_gain > 0)) {
    return Invalid(model, "max_noise_gain must be positive");
  }
  return absl::OkStatus();
}

absl::Status ValidateHedge(const ModelOptions& model) {
  const HedgeOptions& hedge = model.hedge;
  if (!(hedge.quantile >= 0 && hedge.quantile < 1)) {
    return Invalid(model, "hedge quantile must be in [0, 1)");
  }
  if (hedge.min <= Duration{0} || hedge.max.value_or(hedge.min) < hedge.min) {
    return Invalid(model, "hedge delays must be 0 < min <= max");
  }
  if (!IsShare(hedge.budget.max_extra_load) || !IsShare(hedge.max_late_share)) {
    return Invalid(model,
                   "max_extra_load and max_late_share must be in [0, 1]");
  }
  if (!(hedge.budget.min_per_second >= 0) || !(hedge.budget.burst >= 1)) {
    return Invalid(model,
                   "min_per_second must not be negative, nor burst below 1");
  }
  return absl::OkStatus();
}

absl::Status ValidateHybrid(const HybridOptions& hybrid,
                            const ModelOptions& model) {
  if (!(hybrid.max_extra_load >= 0) || !(hybrid.parity_cost >= 0)) {
    return Invalid(model,
                   "max_extra_load and parity_cost must not be negative");
  }
  const GateOptions& gate = hybrid.gate;
  if (!IsShare(gate.calm_share) || !IsShare(hybrid.max_all_late) ||
      !IsShare(hybrid.run_quantile)) {
    return Invalid(
        model, "calm_share, run_quantile and max_all_late must be in [0, 1]");
  }
  if (!(gate.calm_shut >= 0)) {
    return Invalid(model, "calm_shut must not be negative");
  }
  if (!(gate.open >= 0) || !(gate.open < gate.shut) ||
      gate.window <= Duration{0}) {
    return Invalid(model, "gate needs 0 <= open < shut and a window");
  }
  return absl::OkStatus();
}

absl::Status ValidateModel(const ModelOptions& model) {
  if (model.deadline <= Duration{0}) {
    return Invalid(model, "deadline must be positive");
  }
  if (model.max_batch_size == 0) {
    return Invalid(model, "max_batch_size must be at least 1");
  }
  if (model.batch_timeout < Duration{0} || model.group_timeout < Duration{0}) {
    return Invalid(model, "timeouts must not be negative");
  }
  if (UsesCode(model.policy)) {
    if (model.code == nullptr) {
      return Invalid(model, "its policy needs a code");
    }
    if (model.num_units() > kMaxUnits) {
      return Invalid(model, "more codes than a model may have");
    }
    for (size_t unit = 0; unit < model.num_units(); ++unit) {
      const CodeSpec& spec = model.code_of(unit)->spec();
      if (spec.k < 1 || spec.k > kMaxMembers || spec.r < 1 ||
          spec.r > kMaxParities) {
        return Invalid(model, "code has a k or r out of range");
      }
    }
  }
  PARM_RETURN_IF_ERROR(ValidateHedge(model));
  PARM_RETURN_IF_ERROR(ValidateHybrid(model.hybrid, model));
  return ValidateDecode(model);
}

}  // namespace

absl::Status ValidateOptions(const CoreOptions& options) {
  if (options.models.empty()) {
    return absl::InvalidArgumentError("no model is configured");
  }
  if (options.num_workers == 0) {
    return absl::InvalidArgumentError("no worker is configured");
  }
  if (options.max_queries == 0) {
    return absl::InvalidArgumentError("max_queries must be at least 1");
  }
  for (const ModelOptions& model : options.models) {
    PARM_RETURN_IF_ERROR(ValidateModel(model));
  }
  const uint64_t largest =
      std::max<uint64_t>(4, LargestGroup(options) + 1) * options.max_queries +
      options.ledger_room;
  if (largest > kMaxSlabCapacity) {
    return absl::InvalidArgumentError(absl::StrCat(
        "max_queries is too large for this k: got ", options.max_queries));
  }
  if (options.feedback_horizon < Duration{0}) {
    return absl::InvalidArgumentError("feedback_horizon must not be negative");
  }
  if (options.heartbeat_timeout <= Duration{0} ||
      options.probe_interval <= Duration{0}) {
    return absl::InvalidArgumentError(
        "heartbeat_timeout and probe_interval must be positive");
  }
  const EjectionOptions& ejection = options.ejection;
  if (ejection.interval <= Duration{0} ||
      ejection.base_ejection_time <= Duration{0}) {
    return absl::InvalidArgumentError(
        "interval and base_ejection_time must be positive");
  }
  if (options.balancing.decay_time <= Duration{0}) {
    return absl::InvalidArgumentError("decay_time must be positive");
  }
  if (!IsShare(options.loser_sample_rate)) {
    return absl::InvalidArgumentError("loser_sample_rate must be in [0, 1]");
  }
  return absl::OkStatus();
}

uint64_t Hash(const LayoutKey& key) {
  const uint64_t high = (uint64_t{Raw(key.model)} << 32) | Raw(key.deployed);
  const uint64_t low = (uint64_t{key.signature} << 32) | key.samples;
  return MixBits(high ^ MixBits(low ^ MixBits(key.unit)));
}

CoreState::CoreState(CoreOptions core_options)
    : options(std::move(core_options)),
      queries(NumQueryRecords(options)),
      batches(NumBatchRecords(options)),
      tasks(NumTaskRecords(options)),
      groups(NumGroupRecords(options)),
      query_index(options.max_queries),
      // A query, task or group has one timer, a batch two.
      timers(queries.capacity() + 2 * batches.capacity() + tasks.capacity() +
             groups.capacity()),
      num_arrived(options.models.size()),
      in_flight(options.models.size()),
      random_counter_(MixBits(options.seed)) {
  counters.models.resize(options.models.size());
  for (const ModelOptions& model : options.models) {
    gates.emplace_back(model.decode.min_agreement);
    units.emplace_back();
    for (size_t unit = 0; unit < model.num_units(); ++unit) {
      const std::shared_ptr<const Code>& code = model.code_of(unit);
      units.back().push_back({.code = code,
                              .packs = code->spec().scheme == "pack",
                              .cost = StatedCost(code->spec())});
    }
  }
  for (const ModelOptions& model : options.models) {
    const LatencyTrigger::Quantiles quantiles = {
        .decode = model.decode.trigger_quantile, .hedge = model.hedge.quantile};
    const std::vector<SizedTimes> sized(
        kMaxTriggerSizes,
        SizedTimes{.trigger = LatencyTrigger(quantiles),
                   .runs = RunTimes(model.hybrid.run_quantile)});
    times_.push_back(sized);
    parity_times_.push_back(sized);
  }
}

CoreState::SizedTimes& CoreState::FindOrAdd(std::vector<SizedTimes>& sized,
                                            uint32_t samples) {
  for (SizedTimes& entry : sized) {
    if (entry.samples == 0) entry.samples = samples;
    if (entry.samples == samples) return entry;
  }
  return sized.back();
}

LatencyTrigger& CoreState::trigger(ModelId model, uint32_t samples) {
  return FindOrAdd(times_[Raw(model)], samples).trigger;
}

ServiceMean& CoreState::service_mean(ModelId model, uint32_t samples) {
  return FindOrAdd(times_[Raw(model)], samples).service;
}

RunTimes& CoreState::run_times(ModelId model, uint32_t samples) {
  return FindOrAdd(times_[Raw(model)], samples).runs;
}

RunTimes& CoreState::parity_runs(ModelId model, uint32_t samples) {
  return FindOrAdd(parity_times_[Raw(model)], samples).runs;
}

LatencyTrigger& CoreState::parity_times(ModelId model, uint32_t samples) {
  return FindOrAdd(parity_times_[Raw(model)], samples).trigger;
}

Time CoreState::TriggerTime(Time now, const Batch& batch) {
  const DecodeOptions& decode = model_options(batch.model).decode;
  if (decode.trigger_quantile == 0) return now;
  Time latest = kNever;
  for (const Query* query = batch.queries.front(); query != nullptr;
       query = decltype(batch.queries)::Next(*query)) {
    latest = std::min(latest, query->deadline - decode.slack);
  }
  std::optional<Duration> delay;
  if (const auto& delays = trigger(batch.model, batch.samples).DelaysAt(now)) {
    delay = std::max(delays->decode, decode.trigger_min);
  }
  if (decode.trigger_max) {
    delay = std::min(delay.value_or(*decode.trigger_max), *decode.trigger_max);
  }
  if (delay) latest = std::min(latest, now + *delay);
  return std::max(now, latest);
}

double CoreState::Random() {
  return static_cast<double>(MixBits(++random_counter_) >> 11) * 0x1p-53;
}

void CoreState::Touch(Batch& batch) {
  if (batch.group != nullptr) {
    Touch(*batch.group);
  } else if (!batch.touched.linked) {
    touched_batches.PushBack(batch);
  }
}

void CoreState::Touch(Group& group) {
  if (!group.touched.linked) touched_groups.PushBack(group);
}

void CoreState::Release(const Turn& turn, BufferId* buffer) {
  if (*buffer == BufferId{}) return;
  turn.out.Emit(ReleaseBuffer{.buffer = *buffer});
  *buffer = BufferId{};
}

}  // namespace parm::core
