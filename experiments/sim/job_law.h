#pragma once

// How long each job of a simulated worker takes, where a world says it by more
// than Scenario::service and FaultRates: experiments/sim/job_plans.h.

#include <cstdint>

#include "base/time.h"

namespace parm::sim {

struct SimTask;

struct JobPlan {
  Duration service{0};
  Duration reply_delay{0};  // the lane is free meanwhile
  bool silent = false;      // it will never answer: no service
};

class JobLaw {
 public:
  virtual ~JobLaw() = default;
  /// Once per job, when it begins.
  virtual JobPlan Plan(Time begin, uint32_t worker, const SimTask& task) = 0;
};

}  // namespace parm::sim
