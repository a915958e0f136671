#pragma once

// Small configurations of the core for tests: one model, its bundles by number.

#include <cstdint>
#include <memory>

#include "base/ids.h"
#include "base/time.h"
#include "encoder/code.h"
#include "frontend/core/core_options.h"

namespace parm::core {

inline constexpr ModelId kModel{0};
inline constexpr BundleKey kDeployed{10};
inline constexpr BundleKey kParity{20};

inline std::shared_ptr<const Code> MakeCode(const CodeSpec& spec) {
  return std::shared_ptr<const Code>(CreateCode(spec).value());
}

/// One model, policy none; answers wait for no group.
inline CoreOptions PlainOptions(uint32_t num_workers) {
  CoreOptions options;
  options.models.push_back({.name = "m"});
  options.num_workers = num_workers;
  return options;
}

/// One model, hedged after `delay` until its own times are known.
inline CoreOptions HedgeOptionsFor(uint32_t num_workers, Duration delay,
                                   BudgetOptions budget = {}) {
  CoreOptions options = PlainOptions(num_workers);
  options.models[0].policy = PolicyKind::kHedge;
  options.models[0].hedge.max = delay;
  options.models[0].hedge.budget = budget;
  return options;
}

/// One model, every batch sent twice.
inline CoreOptions ReplicateOptions(uint32_t num_workers, CancelLoser cancels) {
  CoreOptions options = PlainOptions(num_workers);
  options.models[0].policy = PolicyKind::kReplicate;
  options.models[0].replicate_cancels = cancels;
  return options;
}

/// One model, coded; a decode is released 50 ms after the dispatch.
inline CoreOptions CodedOptions(uint32_t num_workers, CodeSpec spec) {
  CoreOptions options = PlainOptions(num_workers);
  ModelOptions& model = options.models[0];
  model.policy = PolicyKind::kCoded;
  model.code = MakeCode(spec);
  model.decode.trigger_max = Milliseconds(50);
  options.loser_sample_rate = 0;
  return options;
}

/// One model, hybrid; it hedges after 30 ms until it knows its times, and keeps
/// no reserve of its budget for that.
inline CoreOptions HybridOptionsFor(uint32_t num_workers, CodeSpec spec) {
  CoreOptions options = CodedOptions(num_workers, spec);
  ModelOptions& model = options.models[0];
  model.policy = PolicyKind::kHybrid;
  model.hedge.max = Milliseconds(30);
  model.hedge.budget = {.max_extra_load = 0.1,
                        .min_per_second = 10,
                        .burst = 1,
                        .max_concurrent = 1000};
  model.decode.trigger_max = Milliseconds(25);
  model.hybrid.gate.open = 0;        // no group closes before it is full
  model.hybrid.gate.calm_share = 0;  // nor does it matter that nobody is slow
  return options;
}

}  // namespace parm::core
