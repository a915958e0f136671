#pragma once

// How many samples each query of a run holds: a seeded draw for each.

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "experiments/seeded_random.h"

namespace parm {

/// A share of the queries holds so many samples.
struct BatchShare {
  size_t samples = 1;
  double share = 1;
};

inline constexpr size_t kMaxQuerySamples = 1024;

/// Reads "SAMPLES:SHARE,SAMPLES:SHARE,...", as 1:0.7,4:0.3.
/// Errors: kInvalidArgument for what is no such list, samples above
/// kMaxQuerySamples, shares that do not add up to 1.
absl::StatusOr<std::vector<BatchShare>> ParseBatchShares(
    absl::string_view text);

class BatchMix {
 public:
  /// Without shares every query holds one sample.
  BatchMix(std::vector<BatchShare> shares, uint64_t seed)
      : shares_(std::move(shares)), random_(seed ^ 0xba7c) {}

  size_t Next();

 private:
  std::vector<BatchShare> shares_;
  SeededRandom random_;
};

}  // namespace parm
