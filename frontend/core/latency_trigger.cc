#include "frontend/core/latency_trigger.h"

#include <algorithm>

namespace parm::core {

void LatencyTrigger::Dispatched(Copy& copy, Time now) {
  copy.dispatched = now;
  out_.PushBack(copy);
}

void LatencyTrigger::Replied(Copy& copy, Time now) {
  out_.Remove(copy);
  Record(now - copy.dispatched);
}

void LatencyTrigger::Ended(Copy& copy, Time now) {
  out_.Remove(copy);
  const Duration age = now - copy.dispatched;
  if (age > median_) Record(age);
}

void LatencyTrigger::Record(Duration value) {
  times_.Record(value);
  ++since_refresh_;
}

const std::optional<LatencyTrigger::Delays>& LatencyTrigger::DelaysAt(
    Time now) {
  if (since_refresh_ >= kRefresh) Refresh(now);
  return delays_;
}

void LatencyTrigger::Refresh(Time now) {
  since_refresh_ = 0;
  TimeCounts counts = times_.Counts();
  int looked_at = 0;
  for (const Copy* copy = out_.front();
       copy != nullptr && looked_at < kMaxCopiesLookedAt;
       copy = decltype(out_)::Next(*copy), ++looked_at) {
    const Duration age = now - copy->dispatched;
    if (age <= median_) break;
    counts.Add(age);
  }
  if (counts.total() < kMinSamples) return;
  median_ = counts.Quantile(0.5);
  const Duration most = kMedianFactor * median_;
  // Above `most` a quantile lies in the slow mode: that of the others counts.
  const auto delay = [&](double quantile) {
    const Duration of_all = counts.Quantile(quantile);
    return of_all <= most ? of_all
                          : std::min(most, counts.Quantile(quantile, most));
  };
  delays_ = {.decode = delay(quantiles_.decode),
             .hedge = delay(quantiles_.hedge),
             .median = median_};
}

}  // namespace parm::core
