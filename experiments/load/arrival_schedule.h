#pragma once

// When each query of an open-loop run is due, as an offset from the start of
// the run. Offsets are absolute, so a late send never moves the ones after it.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/time.h"
#include "experiments/seeded_random.h"

namespace parm {

enum class ArrivalLaw : uint8_t {
  kPoisson,   // independent exponential gaps
  kConstant,  // equal gaps
  kRecorded,  // as a trace says
};

/// From `at` on the rate is this.
struct RateStep {
  Duration at{0};
  double rate_qps = 0;
};

struct ArrivalOptions {
  ArrivalLaw law = ArrivalLaw::kPoisson;
  double rate_qps = 0;          // at first; with kRecorded unused
  std::vector<RateStep> steps;  // ascending; with kRecorded none
  Duration length{0};           // offsets lie in [0, length)
  uint64_t seed = 1;
  std::vector<Duration> recorded;  // kRecorded: the offsets, ascending
};

/// Steps that raise the rate to `burst_qps` for `burst`, once every `every`,
/// and let it fall to `base_qps` in between, up to `length`.
/// Errors: kInvalidArgument unless 0 < burst < every, or for more than 10^5
/// bursts.
absl::StatusOr<std::vector<RateStep>> BurstSteps(double base_qps,
                                                 double burst_qps,
                                                 Duration burst, Duration every,
                                                 Duration length);

/// Reads recorded arrivals: seconds since the start, one a line, ascending;
/// lines that are empty or begin with `#` say nothing.
/// Errors: kNotFound if it cannot be read; kInvalidArgument "FILE:LINE: ..."
/// for what is no such number, or below the one before; for more than 10^7 of
/// them, or none.
absl::StatusOr<std::vector<Duration>> ReadArrivals(const std::string& path);

class ArrivalSchedule {
 public:
  /// Errors: kInvalidArgument unless 0 < every rate <= 10^6, 0 < length <= 1
  /// day, steps ascend, and recorded arrivals reach to the length at least.
  static absl::StatusOr<ArrivalSchedule> Create(const ArrivalOptions& options);

  /// The next offset, never below the one before; nullopt at the end.
  std::optional<Duration> Next();

  /// How many queries the law expects before `offset`. Not for kRecorded.
  double Expected(Duration offset) const;

 private:
  /// A part of the run with one rate.
  struct Part {
    double from_s = 0;
    double rate_qps = 0;
    double expected = 0;  // before it
  };

  explicit ArrivalSchedule(const ArrivalOptions& options);

  ArrivalOptions options_;
  std::vector<Part> parts_;
  SeededRandom random_;
  size_t part_ = 0;
  double expected_ = 0;  // before the next one
  size_t num_made_ = 0;
};

}  // namespace parm
