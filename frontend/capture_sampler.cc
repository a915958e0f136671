#include "frontend/capture_sampler.h"

#include <algorithm>

#include "frontend/core/fixed_map.h"

namespace parm {

CaptureSampler::CaptureSampler(const CaptureOptions& options)
    : share_(options.sample),
      max_per_second_(options.max_per_second),
      most_saved_(std::max(1.0, options.max_per_second)),
      seed_(core::MixBits(options.seed)),
      saved_(most_saved_) {}

bool CaptureSampler::Draw() {
  const uint64_t bits = core::MixBits(seed_ ^ core::MixBits(++num_draws_));
  const double uniform = static_cast<double>(bits >> 11) * 0x1.0p-53;
  return uniform < share_;
}

bool CaptureSampler::Allow(Time now) {
  if (now > refilled_) {
    saved_ = std::min(most_saved_,
                      saved_ + ToSeconds(now - refilled_) * max_per_second_);
    refilled_ = now;
  }
  if (saved_ < 1) return false;
  saved_ -= 1;
  return true;
}

}  // namespace parm
