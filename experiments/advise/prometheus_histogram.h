#pragma once

// Buckets of classic Prometheus histograms out of a text exposition, with the
// lines they stand on. Native histograms have no such lines and are not read.

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace parm::advise {

/// Of one series: `count` requests took at most `bound`.
struct Bucket {
  double bound = 0;  // infinite for the last
  double count = 0;  // of this bucket and all before it
  int line = 0;
};

/// One line `NAME_bucket{..., le="BOUND", ...} COUNT [TIMESTAMP]`.
struct BucketLine {
  std::string metric;  // NAME
  std::string series;  // the other labels, as they stand
  Bucket bucket;
};

/// Whether a line looks like one of a histogram's buckets.
bool IsBucketLine(absl::string_view line);

/// Needs:  IsBucketLine(line).
/// Errors: kInvalidArgument, without file and line, if it is malformed.
absl::StatusOr<BucketLine> ParseBucketLine(absl::string_view line);

using Series = std::map<std::string, std::vector<Bucket>>;

/// Adds up the series of one histogram, bucket by bucket.
/// Errors: kInvalidArgument "FILE:LINE: ..." if bounds differ between series
/// or do not grow, a count falls, +Inf is missing, or nothing was counted
/// below it.
absl::StatusOr<std::vector<Bucket>> AddUp(const Series& series,
                                          absl::string_view file);

/// The middles of `num_parts` equal parts of the law, ascending, with counts
/// spread evenly within each bucket, as histogram_quantile() does. What lies
/// above the last finite bound is put on it.
/// Needs: buckets from AddUp.
std::vector<double> EqualParts(const std::vector<Bucket>& buckets,
                               int num_parts);

}  // namespace parm::advise
