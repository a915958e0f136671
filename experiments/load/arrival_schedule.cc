#include "experiments/load/arrival_schedule.h"

#include <cmath>

#include "absl/strings/str_cat.h"

namespace parm {
namespace {

constexpr double kMaxRateQps = 1e6;
constexpr Duration kMaxLength = std::chrono::hours(24);

}  // namespace

absl::StatusOr<ArrivalSchedule> ArrivalSchedule::Create(
    const ArrivalOptions& options) {
  // Written so that NaN fails too.
  if (!(options.rate_qps > 0 && options.rate_qps <= kMaxRateQps)) {
    return absl::InvalidArgumentError(
        absl::StrCat("rate must be above 0 and at most 1000000 queries/s: got ",
                     options.rate_qps));
  }
  if (options.length <= Duration{0} || options.length > kMaxLength) {
    return absl::InvalidArgumentError(
        absl::StrCat("length must be above 0 and at most a day: got ",
                     ToSeconds(options.length), " s"));
  }
  return ArrivalSchedule(options);
}

std::optional<Duration> ArrivalSchedule::Next() {
  if (options_.law == ArrivalLaw::kPoisson) {
    offset_s_ -= std::log(random_.NextUnit()) / options_.rate_qps;
  } else {
    // From the count, not by adding up: rounding does not accumulate.
    offset_s_ = static_cast<double>(num_made_) / options_.rate_qps;
  }
  ++num_made_;
  const Duration offset = FromSeconds(offset_s_);
  if (offset >= options_.length) return std::nullopt;
  return offset;
}

}  // namespace parm
