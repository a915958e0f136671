#pragma once

// How long each job takes in a scenario of load: the pace and the faults of the
// live worker (backends/pacing.h, backends/faults.h, with the same draws), and
// what befalls workers together: a slow mode that roves, shuffles, a recorded
// trace. Every draw is keyed by (seed, worker, query, copy) or (seed, period),
// so every policy meets the same luck.

#include <cstdint>
#include <vector>

#include "backends/faults.h"
#include "backends/keyed_draws.h"
#include "base/time.h"
#include "experiments/sim/draws.h"
#include "experiments/sim/job_law.h"
#include "experiments/sim/load_scenario.h"
#include "experiments/sim/sim_worker.h"

namespace parm::sim {

class JobPlans final : public JobLaw {
 public:
  /// Unit: `parity_cost` is a parity task's service time over that of a query.
  /// The scenario and the draws outlive this object.
  JobPlans(const LoadScenario& scenario, const Draws& draws, uint64_t seed,
           double parity_cost);

  JobPlan Plan(Time begin, uint32_t worker, const SimTask& task) override;

  /// Service time of jobs begun so far: of first dispatches, and of all others.
  /// What a silent worker takes is none.
  struct Totals {
    Duration ordinary{0};
    Duration extra{0};
  };
  const Totals& totals() const { return totals_; }

 private:
  struct WorkerDraws {
    KeyedDraws draws;
    Faults faults;
  };

  double ServiceSeconds(Duration now, uint32_t worker,
                        const SimTask& task) const;
  double SlowFactor(Duration now, uint32_t worker) const;
  bool IsSilent(Duration now, uint32_t worker) const;

  const LoadScenario& scenario_;
  const Draws& draws_;
  const double parity_cost_;
  std::vector<WorkerDraws> workers_;
  Totals totals_;
};

}  // namespace parm::sim
