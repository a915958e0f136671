#pragma once

// Reads what an operator has: latencies of single requests, one a line, or a
// dump of Prometheus histograms (text exposition). Either becomes one law of
// service times, of which parm-advise draws. Stands outside a query's path.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace parm::advise {

enum class Unit : uint8_t { kSeconds, kMilliseconds, kMicroseconds };

struct ReadOptions {
  /// Unset: milliseconds for a column; for a histogram what the metric's name
  /// ends in, else seconds, as Prometheus asks.
  std::optional<Unit> unit;
  /// Name of the histogram, without `_bucket`; empty: the only one there.
  std::string metric;
};

struct RecordedLatencies {
  /// Ascending, each as likely as any other: the records themselves, or
  /// equally spaced quantiles of the histogram.
  std::vector<double> seconds;
  uint64_t num_records = 0;
  /// Share of the records above the histogram's last bound, of which nothing
  /// else is known: they are taken to be at the bound. 0 for a column.
  double share_above_bounds = 0;
  std::string metric;  // empty for a column

  double Mean() const;
  /// Needs: 0 <= quantile <= 1.
  double Quantile(double quantile) const;
};

/// `file` is used in messages only. Lines that are empty or begin with `#` say
/// nothing; the first line of a column may be its heading.
/// Errors: kInvalidArgument "FILE:LINE: ..." for a column's line that is no
/// number above 0 and at most an hour; a malformed bucket; series of one
/// histogram with different bounds; counts that fall as the bound grows; no
/// bucket +Inf, or nothing below it; several histograms, or none of the name
/// that was asked for; fewer than 20 records, or more than 2 x 10^6 lines.
absl::StatusOr<RecordedLatencies> ParseRecordedLatencies(
    absl::string_view text, absl::string_view file, const ReadOptions& options);

/// Errors: as ParseRecordedLatencies; kNotFound if it cannot be read;
/// kInvalidArgument above 256 MiB.
absl::StatusOr<RecordedLatencies> ReadRecordedLatencies(
    const std::string& path, const ReadOptions& options);

}  // namespace parm::advise
