#include "experiments/load/batch_mix.h"

#include <cmath>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace parm {

absl::StatusOr<std::vector<BatchShare>> ParseBatchShares(
    absl::string_view text) {
  std::vector<BatchShare> shares;
  double sum = 0;
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    const std::vector<absl::string_view> fields = absl::StrSplit(part, ':');
    BatchShare one;
    if (fields.size() != 2 || !absl::SimpleAtoi(fields[0], &one.samples) ||
        !absl::SimpleAtod(fields[1], &one.share) || one.samples == 0 ||
        one.samples > kMaxQuerySamples || !(one.share > 0)) {
      return absl::InvalidArgumentError(
          absl::StrCat("want SAMPLES:SHARE,..., as 1:0.7,4:0.3, at most ",
                       kMaxQuerySamples, " samples: got ", text));
    }
    sum += one.share;
    shares.push_back(one);
  }
  if (!(std::abs(sum - 1) <= 1e-6)) {
    return absl::InvalidArgumentError(
        absl::StrCat("shares must add up to 1: got ", sum));
  }
  return shares;
}

size_t BatchMix::Next() {
  if (shares_.empty()) return 1;
  double left = random_.NextUnit();
  for (const BatchShare& each : shares_) {
    if (left <= each.share) return each.samples;
    left -= each.share;
  }
  return shares_.back().samples;
}

}  // namespace parm
