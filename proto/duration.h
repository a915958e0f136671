#pragma once

// Durations as people write them in configuration files.

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/time.h"

namespace parm {

/// "500ms", "20us", "1.5s", "250ns" -> Duration, to the nearest nanosecond.
/// Errors: kInvalidArgument for anything else, negative values, or > 1 hour.
absl::StatusOr<Duration> ParseDuration(absl::string_view text);

/// ParseDuration for a field that ParseStrictYaml has checked; `fallback` if it
/// is empty.
Duration DurationOr(absl::string_view text, Duration fallback);

}  // namespace parm
