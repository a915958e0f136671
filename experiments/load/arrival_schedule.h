#pragma once

// When each query of an open-loop run is due, as an offset from the start of
// the run. Offsets are absolute, so a late send never moves the ones after it.

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "base/time.h"
#include "experiments/seeded_random.h"

namespace parm {

enum class ArrivalLaw : uint8_t {
  kPoisson,   // independent exponential gaps
  kConstant,  // equal gaps
};

struct ArrivalOptions {
  ArrivalLaw law = ArrivalLaw::kPoisson;
  double rate_qps = 0;
  Duration length{0};  // offsets lie in [0, length)
  uint64_t seed = 1;
};

class ArrivalSchedule {
 public:
  /// Errors: kInvalidArgument unless 0 < rate <= 10^6 and 0 < length <= 1 day.
  static absl::StatusOr<ArrivalSchedule> Create(const ArrivalOptions& options);

  /// The next offset, never below the one before; nullopt at the end.
  std::optional<Duration> Next();

 private:
  explicit ArrivalSchedule(const ArrivalOptions& options)
      : options_(options), random_(options.seed) {}

  ArrivalOptions options_;
  SeededRandom random_;
  double offset_s_ = 0;
  int64_t num_made_ = 0;
};

}  // namespace parm
