#include "experiments/sim/scenario.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "encoder/code.h"
#include "experiments/sim/draws.h"

namespace parm::sim {

namespace {

using core::BundleRole;
using core::CoreOptions;
using core::ModelOptions;

// Draws one value after the other for a scenario.
class ScenarioDraws {
 public:
  explicit ScenarioDraws(uint64_t seed) : draws_(seed) {}
  bool Happens(double p) {
    return draws_.Happens(p, Purpose::kScenario, ++count_);
  }
  uint32_t Pick(uint32_t low, uint32_t high) {
    return low +
           static_cast<uint32_t>(draws_.Bits(Purpose::kScenario, ++count_) %
                                 (high - low + 1));
  }
  Duration Between(int64_t low_ms, int64_t high_ms) {
    return draws_.Between(Milliseconds(low_ms), Milliseconds(high_ms),
                          Purpose::kScenario, ++count_);
  }
  double Real(double low, double high) {
    return low + (high - low) * draws_.Unit(Purpose::kScenario, ++count_);
  }
  /// A probability: nothing, or as often near `low` as near `high`.
  double Rate(double low, double high) {
    if (Happens(0.25)) return 0;
    return low * std::pow(high / low, Real(0, 1));
  }

 private:
  const Draws draws_;
  uint64_t count_ = 0;
};

void DrawHedge(ScenarioDraws& draw, ModelOptions* model) {
  core::HedgeOptions& hedge = model->hedge;
  hedge.quantile = std::array{0.8, 0.9, 0.95, 0.97}[draw.Pick(0, 3)];
  if (draw.Happens(0.5)) hedge.max = draw.Between(20, 150);
  hedge.budget.max_extra_load = draw.Rate(0.02, 1);
  hedge.budget.min_per_second = draw.Real(0.1, 50);
  hedge.budget.burst = draw.Real(1, 20);
  if (draw.Happens(0.3)) hedge.budget.max_concurrent = draw.Pick(1, 4);
}

void DrawHybrid(ScenarioDraws& draw, core::HybridOptions* hybrid) {
  hybrid->max_extra_load = draw.Rate(0.2, 2);
  hybrid->gate.open = draw.Real(0.2, 1);
  hybrid->gate.shut = hybrid->gate.open + draw.Real(0.05, 0.5);
  hybrid->gate.window = draw.Between(50, 2000);
}

void DrawEjection(ScenarioDraws& draw, core::EjectionOptions* ejection) {
  ejection->consecutive_5xx = draw.Pick(0, 5);
  ejection->consecutive_gateway_failure = draw.Pick(0, 3);
  ejection->interval = draw.Between(200, 2000);
  ejection->base_ejection_time = draw.Between(50, 500);
  ejection->max_ejection_time = Milliseconds(1000);
  ejection->max_ejection_percent = draw.Pick(0, 50);
  if (draw.Happens(0.5)) {
    ejection->latency_factor = 2;
    ejection->latency_request_volume = draw.Pick(1, 3);
  }
}

void DrawPolicy(ScenarioDraws& draw, ModelOptions* model) {
  const uint32_t policy = draw.Pick(1, 14);
  if (policy <= 1) return;
  if (policy <= 3) {
    model->policy = core::PolicyKind::kHedge;
    return;
  }
  if (policy <= 5) {
    model->policy = core::PolicyKind::kReplicate;
    model->replicate_cancels = draw.Happens(0.5) ? core::CancelLoser::kAtStart
                                                 : core::CancelLoser::kAtEnd;
    return;
  }
  const auto k = static_cast<int>(draw.Pick(2, 4));
  CodeSpec spec = {.scheme = draw.Happens(0.7) ? "sum" : "pack", .k = k};
  model->policy = core::PolicyKind::kCoded;
  if (policy >= 13) {
    model->policy = core::PolicyKind::kBackup;
    spec = {.scheme = "pack", .k = k - 1};
  } else if (policy >= 10) {
    model->policy = core::PolicyKind::kHybrid;
    DrawHybrid(draw, &model->hybrid);
  }
  model->code = std::shared_ptr<const Code>(CreateCode(spec).value());
}

ModelOptions DrawModel(uint32_t index, ScenarioDraws& draw) {
  ModelOptions model;
  model.name = absl::StrCat("model", index);
  model.deadline = draw.Between(150, 600);
  model.max_batch_size = std::array{1U, 1U, 2U, 4U}[draw.Pick(0, 3)];
  model.batch_timeout = draw.Between(0, 5);
  model.group_timeout = draw.Between(1, 60);
  model.pad_short_groups = draw.Happens(0.6);
  model.has_default_answer = draw.Happens(0.3);
  core::DecodeOptions& decode = model.decode;
  decode.trigger_quantile =
      draw.Happens(0.1) ? 0 : std::array{0.5, 0.8, 0.9, 0.95}[draw.Pick(0, 3)];
  if (draw.Happens(0.5)) {
    decode.trigger_max = draw.Between(20, 100);
  }
  decode.slack = draw.Between(0, 10);
  if (draw.Happens(0.4)) {
    decode.min_confidence = 0.6F;
    if (draw.Happens(0.7)) decode.floor = 0.3F;
  }
  model.mode =
      draw.Happens(0.15) ? core::PolicyMode::kObserve : core::PolicyMode::kAct;
  DrawHedge(draw, &model);
  DrawPolicy(draw, &model);
  return model;
}

void DrawWorkers(Scenario& scenario, ScenarioDraws& draw) {
  const bool shared_pool = draw.Happens(0.3);
  const uint32_t num_deployed = draw.Pick(2, 8);
  const uint32_t num_parity = shared_pool ? 0 : draw.Pick(1, 4);
  const uint32_t num_domains = draw.Pick(1, 4);
  const uint32_t lanes = draw.Pick(1, 2);
  const uint32_t in_flight = lanes * draw.Pick(1, 3);
  const auto num_models = static_cast<uint32_t>(scenario.core.models.size());
  for (uint32_t i = 0; i < num_deployed + num_parity; ++i) {
    SimWorkerSpec worker = {.fault_domain = i % num_domains,
                            .lanes = lanes,
                            .max_in_flight = in_flight};
    for (uint32_t m = 0; m < num_models; ++m) {
      if (i < num_deployed) {
        worker.bundles.push_back({.bundle = DeployedBundle(m),
                                  .model = ModelId{m},
                                  .role = BundleRole::kDeployed,
                                  .deployed = DeployedBundle(m)});
      }
      if (i >= num_deployed || shared_pool) {
        const bool backup =
            scenario.core.models[m].policy == core::PolicyKind::kBackup;
        worker.bundles.push_back(
            {.bundle = ParityBundle(m, 0),
             .model = ModelId{m},
             .role = backup ? BundleRole::kBackup : BundleRole::kParity,
             .deployed = backup ? ParityBundle(m, 0) : DeployedBundle(m)});
      }
    }
    scenario.workers.push_back(std::move(worker));
  }
  const double load =
      draw.Happens(0.15) ? draw.Real(1.0, 1.6) : draw.Real(0.05, 0.75);
  const double mean_samples = (1 + scenario.max_samples) / 2.0;
  scenario.arrivals_per_s = load * num_deployed * lanes /
                            (ToSeconds(scenario.service) * mean_samples);
}

FaultRates DrawFaults(ScenarioDraws& draw) {
  return {.never_answered = draw.Rate(0.001, 0.05),
          .duplicate_reply = draw.Rate(0.001, 0.05),
          .slow = draw.Rate(0.001, 0.05),
          .slow_factor = draw.Real(2, 30),
          .retryable_error = draw.Rate(0.0005, 0.1),
          .permanent_error = draw.Rate(0.0005, 0.01),
          .undecodable = draw.Rate(0.0005, 0.01),
          .encode_failure = draw.Rate(0.0005, 0.02),
          .decode_failure = draw.Rate(0.002, 0.05),
          .not_sent = draw.Rate(0.0005, 0.01),
          .abandoned = draw.Rate(0.002, 0.05),
          .mean_between_incidents =
              draw.Happens(0.15) ? Duration{0} : draw.Between(300, 5000)};
}

}  // namespace

uint32_t NumSlots(const Scenario& scenario) {
  uint32_t num_slots = 0;
  for (const SimWorkerSpec& worker : scenario.workers) {
    if (ServesDeployed(worker)) num_slots += worker.max_in_flight;
  }
  return num_slots;
}

bool ServesDeployed(const SimWorkerSpec& worker) {
  return std::any_of(worker.bundles.begin(), worker.bundles.end(),
                     [](const core::ServedBundle& served) {
                       return served.role == BundleRole::kDeployed;
                     });
}

Scenario DrawScenario(uint64_t seed, uint64_t num_queries) {
  ScenarioDraws draw(seed);
  Scenario scenario;
  scenario.seed = seed;
  scenario.num_queries = num_queries;
  scenario.service = draw.Between(2, 15);
  const uint32_t num_models = draw.Happens(0.3) ? 2 : 1;
  CoreOptions& core = scenario.core;
  for (uint32_t m = 0; m < num_models; ++m) {
    core.models.push_back(DrawModel(m, draw));
    scenario.max_samples =
        std::max(scenario.max_samples, core.models[m].max_batch_size);
  }
  if (draw.Happens(0.5)) scenario.max_samples = 1;
  scenario.num_signatures = draw.Pick(1, 3);
  DrawWorkers(scenario, draw);
  core.num_workers = static_cast<uint32_t>(scenario.workers.size());
  core.max_queries = std::array{128U, 512U, 4096U}[draw.Pick(0, 2)];
  core.ledger_room = std::array{4U, 64U, 1024U}[draw.Pick(0, 2)];
  // Two batches per slot, or one and a parity query.
  if (draw.Happens(0.3)) {
    uint64_t largest_batch = 1;
    for (const ModelOptions& model : core.models) {
      largest_batch = std::max<uint64_t>(largest_batch, model.max_batch_size);
    }
    core.max_buffered_bytes = 2 * (NumSlots(scenario) + kMaxMembers) *
                              largest_batch * scenario.bytes_per_sample;
  }
  if (draw.Happens(0.5)) scenario.latest_hello = Milliseconds(50);
  // A pool of encoding threads that is stuck.
  if (draw.Happens(0.2)) {
    scenario.encode_time = draw.Between(50, 1000);
    core.max_queries = 64;
    core.ledger_room = 4;
  }
  if (draw.Happens(0.15)) scenario.decode_time = draw.Between(50, 6000);
  core.feedback_horizon = draw.Between(500, 5000);
  core.loser_sample_rate = std::array{0.05, 0.5}[draw.Pick(0, 1)];
  core.seed = seed;
  scenario.faults = DrawFaults(draw);
  DrawEjection(draw, &core.ejection);
  return scenario;
}

}  // namespace parm::sim
