#pragma once

// One of the frontends that share the workers of a run under load: its core,
// the world as it sees it, and what came of the service that it asked for.

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/time.h"
#include "experiments/sim/draws.h"
#include "experiments/sim/job_law.h"
#include "experiments/sim/performer.h"
#include "experiments/sim/scenario.h"
#include "experiments/sim/service_ledger.h"
#include "experiments/sim/sim_worker.h"
#include "experiments/sim/worker_side.h"
#include "frontend/core/frontend_core.h"

namespace parm::sim {

class SimFrontend final : public core::ActionSink {
 public:
  using OnAnswer = std::function<void(SimFrontend&, const core::AnswerQuery&)>;

  /// `description`, `draws`, `law` and `workers` outlive it.
  SimFrontend(const Scenario& description, const Draws& draws, JobLaw& law,
              uint8_t index, std::vector<SimWorker>& workers,
              OnAnswer on_answer)
      : ledger(law),
        world(description, draws, index),
        worker_side(description, draws, world, workers),
        options_(description.core),
        on_answer_(std::move(on_answer)) {
    options_.seed += index;
  }

  /// Makes the core, and awaits its workers.
  /// Errors: as FrontendCore::Create.
  absl::Status Begin();
  void Tell(const core::Event& event);
  void Emit(const core::Action& action) override;
  /// Carries out the next thing that happens here, unless it is the caller's
  /// business, which is then given back.
  std::optional<SimEvent> Step();

  /// When that is.
  Time next() const { return std::min(world.wake, world.events.top().at); }
  const core::FrontendCore& core() const { return *core_; }

  ServiceLedger ledger;
  Performer world;
  WorkerSide worker_side;
  std::vector<uint64_t> query_numbers;  // among all that arrived; by id - 1

 private:
  core::CoreOptions options_;
  const OnAnswer on_answer_;
  std::unique_ptr<core::FrontendCore> core_;
};

/// The workers' side of several frontends: what a worker does for a task goes
/// to the frontend that sent it.
class SharedPool final : public JobLaw, public WorkerSurroundings {
 public:
  /// `now` outlives it.
  explicit SharedPool(const Time& now) : now_(now) {}
  void Add(SimFrontend& frontend) { frontends_.push_back(&frontend); }

  JobPlan Plan(Time begin, uint32_t worker, const SimTask& task) override;
  void ScheduleDone(uint32_t worker, uint32_t lane, uint32_t epoch,
                    Duration span) override;
  void SendStarted(uint32_t worker, const SimTask& task) override;
  void SendReply(uint32_t worker, const SimTask& task, core::TaskStatus status,
                 bool retryable) override;

 private:
  Performer& WorldOf(uint8_t frontend);

  const Time& now_;
  std::vector<SimFrontend*> frontends_;
};

}  // namespace parm::sim
