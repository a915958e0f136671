#pragma once

// What goes wrong with whole processes in the simulated world, one incident
// after the other: a worker dies, stops, loses its connection, drains, or fails
// every task at once; the frontend itself stands still.

#include <cstdint>
#include <vector>

#include "base/time.h"
#include "experiments/sim/draws.h"
#include "experiments/sim/event_queue.h"
#include "experiments/sim/performer.h"
#include "experiments/sim/scenario.h"
#include "experiments/sim/sim_worker.h"

namespace parm::sim {

class Incidents {
 public:
  /// All outlive this object.
  Incidents(const Scenario& scenario, const Draws& draws, Performer& world,
            std::vector<SimWorker>& workers);

  /// Schedules the next incident, if the scenario has any and none ended them.
  void PlanNext();
  /// An incident begins, and the next is planned.
  void Strike(const SimEvent& event);
  /// It is over.
  void Mend(const SimEvent& event);
  /// No further one begins; those under way take their time.
  void End() { ended_ = true; }

  /// Until then nothing reaches the frontend, and none of its timers fires.
  Time stalled_until() const { return stalled_until_; }
  /// True once after a stall that could be taken for the workers' silence.
  bool TakeAwaking();

 private:
  void Stall(Duration span);
  void StrikeWorker(IncidentKind kind, const SimEvent& event, Duration span);

  const Scenario& scenario_;
  const Draws& draws_;
  Performer& world_;
  std::vector<SimWorker>& workers_;
  std::vector<bool> troubled_;  // in the middle of an incident
  Time stalled_until_{};
  bool awaking_ = false;
  bool ended_ = false;
  uint64_t num_incidents_ = 0;
};

}  // namespace parm::sim
