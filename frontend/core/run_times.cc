#include "frontend/core/run_times.h"

namespace parm::core {

void RunTimes::Ended(Duration run) {
  if (estimate_ && run > median_) Record(run);
}

void RunTimes::Record(Duration run) {
  times_.Record(run);
  if (++since_refresh_ >= kRefresh) Refresh();
}

void RunTimes::Refresh() {
  since_refresh_ = 0;
  const TimeCounts counts = times_.Counts();
  if (counts.total() < kMinSamples) return;
  median_ = counts.Quantile(0.5);
  const Duration most = FromSeconds(kStraggler * ToSeconds(median_));
  estimate_ = {.late = counts.Quantile(quantile_, most),
               .straggler_share = static_cast<double>(counts.NumAbove(most)) /
                                  static_cast<double>(counts.total())};
}

}  // namespace parm::core
