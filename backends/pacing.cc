#include "backends/pacing.h"

#include <algorithm>

namespace parm {

Duration DrawServiceTime(const PaceOptions& pace, const KeyedDraws& draws,
                         Luck luck, int64_t batch_size) {
  // In double: a hostile batch size must not overflow the nanoseconds.
  constexpr double kMaxSeconds = 3600;
  const double mean =
      ToSeconds(pace.service) +
      static_cast<double>(batch_size - 1) * ToSeconds(pace.per_extra_sample);
  const double factor =
      1 + pace.spread * draws.ClippedNormal(luck, DrawKind::kServiceTime);
  return FromSeconds(std::min(mean * factor, kMaxSeconds));
}

}  // namespace parm
