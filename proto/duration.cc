#include "proto/duration.h"

#include <charconv>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace parm {
namespace {

constexpr Duration kMaxDuration = std::chrono::hours(1);
constexpr size_t kMaxDigits = 32;

// Nanoseconds in one `unit`; 0 if there is no such unit.
double NanosecondsIn(absl::string_view unit) {
  if (unit == "ns") return 1;
  if (unit == "us") return 1e3;
  if (unit == "ms") return 1e6;
  if (unit == "s") return 1e9;
  return 0;
}

absl::Status Malformed(absl::string_view text) {
  return absl::InvalidArgumentError(absl::StrCat(
      "expected a duration such as 500ms (units ns, us, ms, s; at most 1 "
      "hour), got \"",
      text.substr(0, kMaxDigits), "\""));
}

}  // namespace

absl::StatusOr<Duration> ParseDuration(absl::string_view text) {
  const size_t num_digits = text.find_first_not_of("0123456789.");
  if (num_digits == 0 || num_digits > kMaxDigits) return Malformed(text);
  const double scale = NanosecondsIn(text.substr(num_digits));
  double value = 0;
  const char* const end = text.data() + num_digits;
  const auto result = std::from_chars(text.data(), end, value);
  // "5.ms" and ".5ms" are slips of the pen.
  const bool whole = result.ec == std::errc() && result.ptr == end &&
                     text.front() != '.' && *(end - 1) != '.';
  if (scale == 0 || !whole) return Malformed(text);
  const double nanoseconds = value * scale;
  if (nanoseconds > static_cast<double>(kMaxDuration.count())) {
    return Malformed(text);
  }
  return Duration(std::llround(nanoseconds));
}

Duration DurationOr(absl::string_view text, Duration fallback) {
  if (text.empty()) return fallback;
  const absl::StatusOr<Duration> duration = ParseDuration(text);
  PARM_CHECK(duration.ok());
  return *duration;
}

}  // namespace parm
