#pragma once

// A token budget for the extra work that a policy causes. Work is counted as
// service time at the workers, so that a batch of four is not one job. It is
// charged when it is decided on, by the mean of its kind, and settled when it
// has told what it took. Two accounts:
//  - the share: all ordinary work pays in max_extra_load of what it took;
//  - the floor: min_per_second copies, whatever their size, of which at most
//    one second's worth (but one at least) is saved up. Without it a share of
//    little work would never allow anything.
// Of the share at most `burst` mean services are saved up, and what single jobs
// differ from the mean is carried beside, or slow jobs would cost what was
// earned: debts as far as they go, credit up to kCarry bursts. So from the
// start on, extra work takes at most max_extra_load of what ordinary work took,
// plus min_per_second x time + 1 copies, plus what those copies that are out
// run over the mean.

#include <optional>

#include "base/time.h"
#include "frontend/core/core_options.h"

namespace parm::core {

/// Threads: owned by one.
class WorkBudget {
 public:
  explicit WorkBudget(const BudgetOptions& options);

  /// Ordinary work has ended that took `service`, where `mean` is usual.
  void Earn(Duration service, Duration mean);

  /// What first dispatches pay in from now on.
  void set_max_extra_load(double share) { options_.max_extra_load = share; }
  /// Mean services that may be saved up from now on.
  void set_burst(double burst) { options_.burst = burst; }

  /// Whether either account can pay for a copy, which takes so much on average.
  bool CanCharge(Time now, Duration service);

  /// Whether the share alone can pay, and still pay `reserve` later.
  bool CanSpare(Duration service, Duration reserve) const {
    return balance() >= service + reserve;
  }

  /// Pays for it, from the share if that can. What is to be settled: nullopt if
  /// the floor has paid, by the copy.
  /// Needs: CanCharge or CanSpare was true just now.
  std::optional<Duration> Charge(Duration service);

  /// What was charged so has in fact taken `service`.
  void Settle(Duration charged, Duration service);

 private:
  static constexpr int kCarry = 100;  // in bursts

  Duration balance() const { return share_ + carry_; }
  void Carry(Duration difference);

  BudgetOptions options_;
  const double max_floor_;
  Duration share_{0};  // by means
  Duration carry_{0};  // what single jobs differ from them
  Duration most_carried_{0};
  double floor_;
  Time refilled_{};
};

}  // namespace parm::core
