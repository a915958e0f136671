#include "frontend/core/policies/work_budget.h"

#include <algorithm>

namespace parm::core {

WorkBudget::WorkBudget(const BudgetOptions& options)
    : options_(options),
      max_floor_(options.min_per_second > 0
                     ? std::max(1.0, options.min_per_second)
                     : 0),
      floor_(max_floor_) {}

void WorkBudget::Earn(Duration service) {
  share_ += FromSeconds(options_.max_extra_load * ToSeconds(service));
  share_ = std::min(share_, FromSeconds(options_.burst * ToSeconds(service)));
}

bool WorkBudget::CanCharge(Time now, Duration service) {
  const double elapsed_s = ToSeconds(std::max(Duration{0}, now - refilled_));
  floor_ = std::min(max_floor_, floor_ + options_.min_per_second * elapsed_s);
  refilled_ = std::max(now, refilled_);
  return share_ >= service || floor_ >= 1;
}

void WorkBudget::Charge(Duration service) {
  if (share_ >= service) {
    share_ -= service;
  } else {
    floor_ -= 1;
  }
}

}  // namespace parm::core
