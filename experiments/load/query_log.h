#pragma once

// The measured queries of a run one by one, for figures that need each of them:
// what a load generator or the simulator writes beside the run record.

#include <string>

#include "absl/types/span.h"
#include "base/time.h"
#include "experiments/load/load_tally.h"

namespace parm {

struct LoggedQuery {
  Duration due{0};  // since the start of the schedule, warm-up included
  Duration latency{0};
  Outcome outcome = Outcome::kLost;
};

/// "due_s,latency_ms,outcome" lines.
std::string QueryLogCsv(absl::Span<const LoggedQuery> queries);

}  // namespace parm
