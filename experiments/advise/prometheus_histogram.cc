#include "experiments/advise/prometheus_histogram.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"

namespace parm::advise {

namespace {

constexpr absl::string_view kMark = "_bucket{";

absl::StatusOr<double> ParseBound(absl::string_view text) {
  if (text == "+Inf" || text == "Inf") {
    return std::numeric_limits<double>::infinity();
  }
  double bound = 0;
  if (!absl::SimpleAtod(text, &bound) || !std::isfinite(bound) || bound < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("le: got \"", text, "\", want a bound of 0 or more"));
  }
  return bound;
}

// Takes one `key="value"` off the front; values may hold \" and \\.
struct Label {
  absl::string_view key;
  absl::string_view value;
};
std::optional<Label> TakeLabel(absl::string_view* rest) {
  const size_t equals = rest->find("=\"");
  if (equals == absl::string_view::npos) return std::nullopt;
  size_t end = equals + 2;
  while (end < rest->size() && (*rest)[end] != '"') {
    end += (*rest)[end] == '\\' ? 2 : 1;
  }
  if (end >= rest->size()) return std::nullopt;
  const Label label = {
      .key = absl::StripAsciiWhitespace(rest->substr(0, equals)),
      .value = rest->substr(equals + 2, end - equals - 2)};
  rest->remove_prefix(end + 1);
  absl::ConsumePrefix(rest, ",");
  return label;
}

absl::Status ErrorAt(absl::string_view file, int line, absl::string_view text) {
  return absl::InvalidArgumentError(absl::StrCat(file, ":", line, ": ", text));
}

absl::Status CheckOne(const std::vector<Bucket>& buckets,
                      absl::string_view file) {
  for (size_t i = 1; i < buckets.size(); ++i) {
    const Bucket& bucket = buckets[i];
    if (bucket.bound <= buckets[i - 1].bound) {
      return ErrorAt(file, bucket.line,
                     absl::StrCat("le: bounds must grow: got ", bucket.bound,
                                  " after ", buckets[i - 1].bound));
    }
    if (bucket.count < buckets[i - 1].count) {
      return ErrorAt(
          file, bucket.line,
          absl::StrCat("counts of a histogram never fall: got ", bucket.count,
                       " after ", buckets[i - 1].count));
    }
  }
  if (std::isfinite(buckets.back().bound)) {
    return ErrorAt(file, buckets.back().line,
                   "the last bucket of a series must be le=\"+Inf\"");
  }
  return absl::OkStatus();
}

}  // namespace

bool IsBucketLine(absl::string_view line) {
  return absl::StrContains(line.substr(0, line.find('"')), kMark);
}

absl::StatusOr<BucketLine> ParseBucketLine(absl::string_view line) {
  const size_t mark = line.find(kMark);
  BucketLine parsed;
  const absl::string_view name =
      absl::StripAsciiWhitespace(line.substr(0, mark));
  parsed.metric = std::string(name);
  absl::string_view rest = line.substr(mark + kMark.size());
  std::optional<absl::string_view> bound;
  while (!absl::ConsumePrefix(&rest, "}")) {
    const std::optional<Label> label = TakeLabel(&rest);
    if (!label) {
      return absl::InvalidArgumentError(
          "malformed labels: want {key=\"value\",...}");
    }
    if (label->key == "le") {
      bound = label->value;
    } else {
      absl::StrAppend(&parsed.series, label->key, "=\"", label->value, "\",");
    }
    rest = absl::StripLeadingAsciiWhitespace(rest);
  }
  if (!bound) return absl::InvalidArgumentError("bucket without label le");
  PARM_ASSIGN_OR_RETURN(parsed.bucket.bound, ParseBound(*bound));
  const std::vector<absl::string_view> words =
      absl::StrSplit(rest, absl::ByAnyChar(" \t"), absl::SkipEmpty());
  if (words.empty() || !absl::SimpleAtod(words[0], &parsed.bucket.count) ||
      !std::isfinite(parsed.bucket.count) || parsed.bucket.count < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("bucket: got \"", words.empty() ? "" : words[0],
                     "\", want a count of 0 or more"));
  }
  return parsed;
}

absl::StatusOr<std::vector<Bucket>> AddUp(const Series& series,
                                          absl::string_view file) {
  std::vector<Bucket> sum;
  for (const auto& [labels, buckets] : series) {
    PARM_RETURN_IF_ERROR(CheckOne(buckets, file));
    if (sum.empty()) {
      sum = buckets;
      continue;
    }
    const bool same = std::equal(
        sum.begin(), sum.end(), buckets.begin(), buckets.end(),
        [](const Bucket& a, const Bucket& b) { return a.bound == b.bound; });
    if (!same) {
      return ErrorAt(file, buckets.front().line,
                     "series of one histogram have different bounds");
    }
    for (size_t i = 0; i < sum.size(); ++i) sum[i].count += buckets[i].count;
  }
  if (sum.size() < 2 || sum[sum.size() - 2].count <= 0) {
    return ErrorAt(file, sum.front().line,
                   "nothing was counted below the bound +Inf");
  }
  return sum;
}

std::vector<double> EqualParts(const std::vector<Bucket>& buckets,
                               int num_parts) {
  std::vector<double> parts;
  parts.reserve(static_cast<size_t>(num_parts));
  const double total = buckets.back().count;
  size_t i = 0;
  for (int part = 0; part < num_parts; ++part) {
    const double rank = total * (part + 0.5) / num_parts;
    while (buckets[i].count < rank) ++i;
    const double below = i == 0 ? 0 : buckets[i - 1].bound;
    if (std::isinf(buckets[i].bound)) {
      parts.push_back(below);
      continue;
    }
    const double count_below = i == 0 ? 0 : buckets[i - 1].count;
    parts.push_back(below + (buckets[i].bound - below) * (rank - count_below) /
                                (buckets[i].count - count_below));
  }
  return parts;
}

}  // namespace parm::advise
