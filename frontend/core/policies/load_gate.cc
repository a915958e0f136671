#include "frontend/core/policies/load_gate.h"

#include <algorithm>
#include <cmath>

namespace parm::core {

void LoadGate::Sample(Time now, double busy_share) {
  const double age_s = ToSeconds(std::max(Duration{0}, now - sampled_));
  const double keep = std::exp(-age_s / ToSeconds(options_.window));
  load_ = keep * load_ + (1 - keep) * busy_share;
  sampled_ = std::max(sampled_, now);
}

double LoadGate::Opening(double per_query) const {
  const double load = load_ * (1 + per_query);
  const double shut =
      calm_ ? std::min(options_.calm_shut, options_.shut) : options_.shut;
  return std::clamp((shut - load) / kFade, 0.0, 1.0);
}

bool LoadGate::Pass(double per_query) {
  credit_ += Opening(per_query);
  if (credit_ < 1) return false;
  credit_ -= 1;
  return true;
}

}  // namespace parm::core
