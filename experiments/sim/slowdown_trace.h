#pragma once

// Reads a recorded trace of machine slow-downs: a CSV file, plain or gzip, with
// a header line that names a column `slowdown` (1: as usual, 2: half as fast)
// and perhaps `series` and `vm_sku`.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace parm::sim {

/// Only records with these values in these columns; empty: any.
struct SlowdownFilter {
  std::string series;
  std::string vm_sku;
};

/// The slow-downs in the order of the file.
/// Errors: kNotFound if it cannot be opened; kInvalidArgument "FILE:LINE: ..."
/// for a missing column, a row of another length than the header, a slow-down
/// that is not a number in 0.01..10000, a damaged file, no record that passes
/// the filter, or more than 10^6 of them.
absl::StatusOr<std::vector<double>> ReadSlowdowns(const std::string& path,
                                                  const SlowdownFilter& filter);

}  // namespace parm::sim
