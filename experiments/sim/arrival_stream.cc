#include "experiments/sim/arrival_stream.h"

#include <algorithm>

namespace parm::sim {

namespace {
// What a draw of a query is for, besides its contents.
constexpr uint64_t kSamples = 1;
}  // namespace

Arrival ArrivalStream::Next() {
  // In units of the mean gap, used up at the rate of each part in turn.
  double left = ToSeconds(
      draws_.Exponential(Milliseconds(1000), Purpose::kArrivalGap, ++count_));
  while (step_ < scenario_.load_steps.size()) {
    const LoadStep& next = scenario_.load_steps[step_];
    const double until = ToSeconds(next.at - at_) * Rate();
    if (until >= left) break;
    left -= std::max(0.0, until);
    at_ = std::max(at_, next.at);
    load_ = next.load.value_or(scenario_.load);
    ++step_;
  }
  at_ += FromSeconds(left / Rate());
  return {.number = count_, .at = at_, .samples = DrawSamples()};
}

uint32_t ArrivalStream::DrawSamples() const {
  double left = draws_.Unit(Purpose::kQuery, count_, kSamples);
  for (const BatchSize& size : scenario_.batch_sizes) {
    if (left < size.share) return size.samples;
    left -= size.share;
  }
  return scenario_.batch_sizes.empty() ? 1
                                       : scenario_.batch_sizes.back().samples;
}

}  // namespace parm::sim
