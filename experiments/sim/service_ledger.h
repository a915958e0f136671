#pragma once

// Whose answers the service of simulated workers went into: which task made
// each output, which outputs a decode used, which of them a query was answered
// with. What is left was wasted.

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/ids.h"
#include "base/time.h"
#include "experiments/sim/job_law.h"
#include "experiments/sim/sim_worker.h"
#include "frontend/core/action.h"
#include "frontend/core/event.h"

namespace parm::sim {

class ServiceLedger final : public JobLaw {
 public:
  /// `law` says how long jobs take, and outlives this object.
  explicit ServiceLedger(JobLaw& law) : law_(law) {}

  JobPlan Plan(Time begin, uint32_t worker, const SimTask& task) override;
  /// What the core asks for, and is told.
  void See(const core::Action& action);
  void See(const core::Event& event);

  /// Only jobs that begin while this is on are counted.
  void set_counting(bool on) { counting_ = on; }

  /// Service of counted jobs that no answer was made of so far. A job at a
  /// silent worker is none.
  Duration wasted() const { return begun_ - used_; }

 private:
  struct Job {
    Duration service{0};
    bool counted = false;
  };
  using JobIndex = uint32_t;
  using Jobs = std::vector<JobIndex>;

  Jobs& MadeOf(BufferId buffer);
  static uint64_t KeyOf(GroupId group, uint8_t member) {
    return (Raw(group) << 8) | member;
  }

  JobLaw& law_;
  bool counting_ = false;
  std::vector<Job> jobs_;
  absl::flat_hash_map<uint64_t, JobIndex> job_of_task_;  // not replied yet
  std::vector<Jobs> made_of_;                            // by BufferId
  absl::flat_hash_map<uint64_t, Jobs> decodes_;          // under way
  Duration begun_{0};
  Duration used_{0};
};

}  // namespace parm::sim
