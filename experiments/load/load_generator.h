#pragma once

// The open-loop run: sends each query when its schedule says so, whatever has
// become of those before it, and tallies every one of them.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/time.h"
#include "experiments/load/arrival_schedule.h"
#include "experiments/load/batch_mix.h"
#include "experiments/load/infer_wire.h"
#include "experiments/load/kolmogorov_smirnov.h"
#include "experiments/load/load_client.h"
#include "experiments/load/load_tally.h"
#include "experiments/load/query_log.h"
#include "experiments/load/test_data.h"

namespace parm {

struct LoadOptions {
  LoadClientOptions client;
  ArrivalOptions arrivals;  // length: warm-up and measured part together
  /// Queries due before it are sent and answered but not tallied.
  Duration warm_up{0};
  Duration deadline = Milliseconds(500);
  /// How many images queries hold; empty: one each.
  std::vector<BatchShare> batches;
  /// Of the servers where nothing goes wrong, for one image; 0: unknown. And
  /// how much each further image adds.
  Duration clean_service{0};
  Duration clean_extra_sample{0};
  /// The sending thread stops sleeping this long before a query is due and
  /// watches the clock instead, as sleeps end late.
  Duration spin = Microseconds(100);
  /// Keep each measured query: 24 bytes.
  bool log_queries = false;
  /// Watched for CPU time and memory; 0: nobody.
  int64_t process_id = 0;
};

/// Errors that were told in the same words.
struct ErrorKind {
  std::string message;
  int64_t count = 0;
};
inline constexpr size_t kMaxErrorKinds = 5;

struct LoadReport {
  LoadTally tally;
  int64_t warm_up_queries = 0;
  /// From the first measured due time to the last end.
  Duration measured{0};
  int64_t largest_in_flight = 0;
  Figure offered_qps;
  Figure achieved_qps;  // answers that hold a prediction
  Figure cpu_us_per_query;
  Figure rss_mb;
  /// Whether what left follows the schedule's law, Poisson alone: gaps between
  /// sends, and their times within the run.
  std::optional<KsResult> send_gaps;
  std::optional<KsResult> send_times;
  /// In the order in which they ended; empty unless asked for.
  std::vector<LoggedQuery> queries;
  /// What was told of errors and lost queries, warm-up too, for a message: the
  /// first kMaxErrorKinds kinds by their words, and how many there were beyond.
  std::vector<ErrorKind> errors;
  int64_t other_errors = 0;

  /// Empty if there was none.
  std::string first_error() const;
  void FillEntry(RunEntry* entry) const;
};

/// Runs the schedule to its end and waits for the last answer or its timeout.
/// `reference` holds the deployed model's class per sample, or is empty.
/// Errors: kUnavailable if the server takes no connection at the start;
/// kInvalidArgument for options out of range or a reference of another size.
absl::StatusOr<LoadReport> RunLoad(const LoadOptions& options,
                                   const TestData& data,
                                   const std::vector<int>& reference,
                                   InferWire* wire);

}  // namespace parm
