#include "frontend/core/agreement_gate.h"

#include <algorithm>

namespace parm::core {

AgreementGate::Change AgreementGate::Add(uint32_t compared, uint32_t agreed) {
  const double keep = std::max(0.0, 1 - compared / kMemory);
  samples_ = samples_ * keep + compared;
  agreed_ = agreed_ * keep + agreed;
  const std::optional<double> share = agreement();
  if (!min_agreement_ || !share) return Change::kNone;
  const double floor = *min_agreement_;
  if (!closed_ && *share < floor) {
    closed_ = true;
    return Change::kClosed;
  }
  if (closed_ && *share >= floor + std::min(kHysteresis, (1 - floor) / 2)) {
    closed_ = false;
    return Change::kOpened;
  }
  return Change::kNone;
}

std::optional<double> AgreementGate::agreement() const {
  if (samples_ < kMinSamples) return std::nullopt;
  return agreed_ / samples_;
}

}  // namespace parm::core
