#pragma once

// The workers of a simulated world and what happens at them: tasks, cancels and
// probes that arrive, jobs that end, heartbeats that leave.

#include <cstdint>
#include <vector>

#include "experiments/sim/draws.h"
#include "experiments/sim/event_queue.h"
#include "experiments/sim/performer.h"
#include "experiments/sim/scenario.h"
#include "experiments/sim/sim_worker.h"
#include "frontend/core/event.h"

namespace parm::sim {

/// All of a world's workers; what is given outlives them.
std::vector<SimWorker> MakeWorkers(const Scenario& scenario, const Draws& draws,
                                   WorkerSurroundings& surroundings);

/// As one frontend's messages reach them; several may share the workers.
class WorkerSide {
 public:
  /// All outlive this object.
  WorkerSide(const Scenario& scenario, const Draws& draws, Performer& world,
             std::vector<SimWorker>& workers)
      : scenario_(scenario), draws_(draws), world_(world), workers_(workers) {}

  /// Schedules each worker's first hello and heartbeat.
  void Begin();
  /// Carries out what happens at a worker; false if it does not.
  bool Happen(const SimEvent& event);

  core::WorkerUp HelloOf(uint32_t worker) const;
  std::vector<SimWorker>& workers() { return workers_; }

 private:
  void Beat(const SimEvent& event);

  const Scenario& scenario_;
  const Draws& draws_;
  Performer& world_;
  std::vector<SimWorker>& workers_;
};

}  // namespace parm::sim
