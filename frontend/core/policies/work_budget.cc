#include "frontend/core/policies/work_budget.h"

#include <algorithm>
#include <utility>

namespace parm::core {

WorkBudget::WorkBudget(const BudgetOptions& options)
    : options_(options),
      max_floor_(options.min_per_second > 0
                     ? std::max(1.0, options.min_per_second)
                     : 0),
      floor_(max_floor_) {}

void WorkBudget::Earn(Duration service, Duration mean) {
  const auto part = [&](Duration work) {
    return FromSeconds(options_.max_extra_load * ToSeconds(work));
  };
  const Duration burst = FromSeconds(options_.burst * ToSeconds(mean));
  most_carried_ = kCarry * burst;
  Carry(part(service) - part(mean));
  share_ += part(mean);
  const Duration overflow = std::max(Duration{0}, share_ - burst);
  share_ -= overflow;
  if (carry_ < Duration{0}) carry_ = std::min(Duration{0}, carry_ + overflow);
}

void WorkBudget::Carry(Duration difference) {
  carry_ = std::min(carry_ + difference, most_carried_);
}

bool WorkBudget::CanCharge(Time now, Duration service) {
  const double elapsed_s = ToSeconds(std::max(Duration{0}, now - refilled_));
  floor_ = std::min(max_floor_, floor_ + options_.min_per_second * elapsed_s);
  refilled_ = std::max(now, refilled_);
  return balance() >= service || floor_ >= 1;
}

std::optional<Duration> WorkBudget::Charge(Duration service) {
  if (balance() < service) {
    floor_ -= 1;
    return std::nullopt;
  }
  share_ -= service;
  if (share_ < Duration{0}) carry_ += std::exchange(share_, Duration{0});
  return service;
}

void WorkBudget::Settle(Duration charged, Duration service) {
  Carry(charged - service);
}

}  // namespace parm::core
