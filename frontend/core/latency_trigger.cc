#include "frontend/core/latency_trigger.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace parm::core {

size_t LatencyTrigger::BucketOf(Duration value) {
  constexpr int64_t kLow = int64_t{1} << kLowBits;
  constexpr int64_t kHigh = int64_t{1} << kHighBits;
  const auto v = static_cast<uint64_t>(
      std::clamp<int64_t>(value.count(), kLow, kHigh - 1));
  const int bits = static_cast<int>(std::bit_width(v)) - 1;
  const auto sub = (v >> (bits - kSubBits)) - (1U << kSubBits);
  return (static_cast<size_t>(bits - kLowBits) << kSubBits) + sub;
}

Duration LatencyTrigger::UpperBound(size_t bucket) {
  const size_t octave = bucket >> kSubBits;
  const auto sub = static_cast<int64_t>(bucket & ((1U << kSubBits) - 1));
  return Duration((sub + (1 << kSubBits) + 1)
                  << (octave + kLowBits - kSubBits));
}

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
  if (num_newer_ == kWindow) {
    older_ = newer_;
    num_older_ = num_newer_;
    newer_ = {};
    num_newer_ = 0;
  }
  ++newer_[BucketOf(value)];
  ++num_newer_;
  ++since_refresh_;
}

const std::optional<LatencyTrigger::Delays>& LatencyTrigger::DelaysAt(
    Time now) {
  if (since_refresh_ >= kRefresh) Refresh(now);
  return delays_;
}

void LatencyTrigger::Refresh(Time now) {
  since_refresh_ = 0;
  Counts counts = newer_;
  for (size_t i = 0; i < kNumBuckets; ++i) counts[i] += older_[i];
  uint32_t total = num_newer_ + num_older_;
  int looked_at = 0;
  for (const Copy* copy = out_.front();
       copy != nullptr && looked_at < kMaxCopiesLookedAt;
       copy = decltype(out_)::Next(*copy), ++looked_at) {
    const Duration age = now - copy->dispatched;
    if (age <= median_) break;
    ++counts[BucketOf(age)];
    ++total;
  }
  if (total < kMinSamples) return;
  const auto value_at = [&](double quantile) {
    const auto rank = static_cast<uint32_t>(std::ceil(quantile * total));
    uint32_t seen = 0;
    size_t bucket = 0;
    for (; bucket + 1 < kNumBuckets; ++bucket) {
      seen += counts[bucket];
      if (seen >= std::max(1U, rank)) break;
    }
    return UpperBound(bucket);
  };
  median_ = value_at(0.5);
  const Duration most = kMedianFactor * median_;
  delays_ = {.decode = std::min(value_at(quantiles_.decode), most),
             .hedge = std::min(value_at(quantiles_.hedge), most),
             .median = median_};
}

}  // namespace parm::core
