#pragma once

// A token budget for the copies that a policy sends. Work is counted as service
// time, so that a batch of four is not one job, and charged when the copy is
// decided on. Two accounts:
//  - the share: every first dispatch pays in max_extra_load of its service
//    time; at most `burst` copies' worth is saved up;
//  - the floor: min_per_second copies, whatever their size, of which at most
//    one second's worth (but one at least) is saved up. Without it a share of
//    little work would never allow anything.
// So over any time, copies take at most max_extra_load of the service time of
// the first dispatches, plus min_per_second x time + 1 copies.

#include "base/time.h"
#include "frontend/core/core_options.h"

namespace parm::core {

/// Threads: owned by one.
class WorkBudget {
 public:
  explicit WorkBudget(const BudgetOptions& options);

  /// A batch was sent for the first time, which takes this service time.
  void Earn(Duration service);

  /// What first dispatches pay in from now on.
  void set_max_extra_load(double share) { options_.max_extra_load = share; }

  /// Whether either account can pay for a copy.
  bool CanCharge(Time now, Duration service);

  /// Whether the share alone can pay, and still pay `reserve` later.
  bool CanSpare(Duration service, Duration reserve) const {
    return share_ >= service + reserve;
  }

  /// Pays for it, from the share if that can.
  /// Needs: CanCharge or CanSpare was true just now.
  void Charge(Duration service);

 private:
  BudgetOptions options_;
  const double max_floor_;
  Duration share_{0};
  double floor_;
  Time refilled_{};
};

}  // namespace parm::core
