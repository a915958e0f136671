#include "backends/faults.h"

namespace parm {

FaultPlan Faults::Plan(Luck luck, Duration since_start) const {
  FaultPlan plan;
  for (uint32_t i = 0; i < windows_.size(); ++i) {
    const FaultWindow& window = windows_[i];
    if (since_start < window.start ||
        since_start - window.start >= window.length) {
      continue;
    }
    const auto happens = [&](DrawKind kind, double probability) {
      return draws_.Uniform(luck, kind, i) < probability;
    };
    plan.slow_factor *= window.slow_mode_factor;
    if (happens(DrawKind::kSlowJob, window.slow_job_probability)) {
      plan.slow_factor *= window.slow_job_factor;
    }
    if (happens(DrawKind::kReplyDelay, window.reply_delay_probability)) {
      plan.reply_delay += window.reply_delay;
    }
    plan.drop |= happens(DrawKind::kDrop, window.drop_probability);
    plan.duplicate |=
        happens(DrawKind::kDuplicate, window.duplicate_probability);
    plan.error |= happens(DrawKind::kError, window.error_probability);
    if (happens(DrawKind::kCorrupt, window.corrupt_probability)) {
      plan.corruption = static_cast<Corruption>(
          1 + draws_.Bits(luck, DrawKind::kCorruptionKind, i) % 3);
    }
  }
  return plan;
}

}  // namespace parm
