#include "experiments/load/arrival_schedule.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace parm {
namespace {

constexpr double kMaxRateQps = 1e6;
constexpr Duration kMaxLength = std::chrono::hours(24);
constexpr int64_t kMaxBursts = 100'000;
constexpr size_t kMaxRecorded = 10'000'000;

absl::Status CheckRate(double rate_qps) {
  // Written so that NaN fails too.
  if (rate_qps > 0 && rate_qps <= kMaxRateQps) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "rate must be above 0 and at most 1000000 queries/s: got ", rate_qps));
}

absl::Status CheckRates(const ArrivalOptions& options) {
  PARM_RETURN_IF_ERROR(CheckRate(options.rate_qps));
  Duration before{0};
  for (const RateStep& step : options.steps) {
    PARM_RETURN_IF_ERROR(CheckRate(step.rate_qps));
    if (step.at <= before) {
      return absl::InvalidArgumentError(
          absl::StrCat("each step of the rate must be later than the one "
                       "before: got ",
                       ToSeconds(step.at), " s"));
    }
    before = step.at;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<RateStep>> BurstSteps(double base_qps,
                                                 double burst_qps,
                                                 Duration burst, Duration every,
                                                 Duration length) {
  if (burst <= Duration{0} || burst >= every) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a burst must be above 0 and shorter than its period: got ",
        ToSeconds(burst), " s of ", ToSeconds(every), " s"));
  }
  if (length / every >= kMaxBursts) {
    return absl::InvalidArgumentError(
        absl::StrCat("too many bursts: got ", length / every, ", want at most ",
                     kMaxBursts));
  }
  std::vector<RateStep> steps;
  for (Duration end = every; end - burst < length; end += every) {
    steps.push_back({.at = end - burst, .rate_qps = burst_qps});
    steps.push_back({.at = end, .rate_qps = base_qps});
  }
  return steps;
}

absl::StatusOr<std::vector<Duration>> ReadArrivals(const std::string& path) {
  // A directory opens, and then throws when it is read.
  std::error_code ignored;
  std::ifstream file(path);
  if (!file || std::filesystem::is_directory(path, ignored)) {
    return absl::NotFoundError(absl::StrCat("cannot read ", path));
  }
  std::vector<Duration> arrivals;
  std::string text;
  int64_t line = 0;
  const auto error = [&](absl::string_view what) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ":", std::max<int64_t>(1, line), ": ", what));
  };
  while (std::getline(file, text)) {
    ++line;
    const absl::string_view word = absl::StripAsciiWhitespace(text);
    if (word.empty() || word[0] == '#') continue;
    double seconds = 0;
    if (!absl::SimpleAtod(word, &seconds) ||
        !(seconds >= 0 && seconds <= ToSeconds(kMaxLength))) {
      return error(absl::StrCat("arrival: got \"", word.substr(0, 40),
                                "\", want seconds from 0 to a day"));
    }
    if (!arrivals.empty() && FromSeconds(seconds) < arrivals.back()) {
      return error("arrivals must ascend");
    }
    if (arrivals.size() == kMaxRecorded) return error("too many arrivals");
    arrivals.push_back(FromSeconds(seconds));
  }
  if (arrivals.empty()) return error("no arrival");
  return arrivals;
}

absl::StatusOr<ArrivalSchedule> ArrivalSchedule::Create(
    const ArrivalOptions& options) {
  if (options.length <= Duration{0} || options.length > kMaxLength) {
    return absl::InvalidArgumentError(
        absl::StrCat("length must be above 0 and at most a day: got ",
                     ToSeconds(options.length), " s"));
  }
  if (options.law != ArrivalLaw::kRecorded) {
    PARM_RETURN_IF_ERROR(CheckRates(options));
  } else if (options.recorded.empty() ||
             options.recorded.back() < options.length) {
    return absl::InvalidArgumentError(absl::StrCat(
        "recorded arrivals end too early: got ",
        options.recorded.empty() ? 0 : ToSeconds(options.recorded.back()),
        " s, want ", ToSeconds(options.length), " s"));
  }
  return ArrivalSchedule(options);
}

ArrivalSchedule::ArrivalSchedule(const ArrivalOptions& options)
    : options_(options), random_(options.seed) {
  parts_.push_back({.rate_qps = options_.rate_qps});
  for (const RateStep& step : options_.steps) {
    const Part& before = parts_.back();
    const double from_s = ToSeconds(step.at);
    parts_.push_back({.from_s = from_s,
                      .rate_qps = step.rate_qps,
                      .expected = before.expected +
                                  (from_s - before.from_s) * before.rate_qps});
  }
}

std::optional<Duration> ArrivalSchedule::Next() {
  if (options_.law == ArrivalLaw::kRecorded) {
    if (num_made_ == options_.recorded.size()) return std::nullopt;
    const Duration offset = options_.recorded[num_made_++];
    if (offset >= options_.length) return std::nullopt;
    return offset;
  }
  if (options_.law == ArrivalLaw::kPoisson) {
    expected_ -= std::log(random_.NextUnit());
  } else {
    // From the count, not by adding up: rounding does not accumulate.
    expected_ = static_cast<double>(num_made_);
  }
  ++num_made_;
  while (part_ + 1 < parts_.size() && parts_[part_ + 1].expected <= expected_) {
    ++part_;
  }
  const Part& part = parts_[part_];
  const Duration offset =
      FromSeconds(part.from_s + (expected_ - part.expected) / part.rate_qps);
  if (offset >= options_.length) return std::nullopt;
  return offset;
}

double ArrivalSchedule::Expected(Duration offset) const {
  const double at_s = ToSeconds(offset);
  const auto after = std::upper_bound(
      parts_.begin() + 1, parts_.end(), at_s,
      [](double at, const Part& part) { return at < part.from_s; });
  const Part& part = *(after - 1);
  return part.expected + (at_s - part.from_s) * part.rate_qps;
}

}  // namespace parm
