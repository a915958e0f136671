#include "experiments/advise/recorded_latencies.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <numeric>
#include <system_error>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "experiments/advise/prometheus_histogram.h"

namespace parm::advise {

namespace {

constexpr uint64_t kMaxBytes = uint64_t{256} << 20;
constexpr int kMaxLines = 2'000'000;
constexpr uint64_t kMinRecords = 20;
constexpr double kMaxSeconds = 3600;
// Ten of them lie above p99.99.
constexpr int kHistogramParts = 100'000;

double ScaleOf(Unit unit) {
  switch (unit) {
    case Unit::kSeconds:
      return 1;
    case Unit::kMilliseconds:
      return 1e-3;
    case Unit::kMicroseconds:
      return 1e-6;
  }
  return 1;
}

Unit UnitOfName(absl::string_view metric) {
  for (const absl::string_view end : {"_ms", "_milliseconds", "_millis"}) {
    if (absl::EndsWith(metric, end)) return Unit::kMilliseconds;
  }
  for (const absl::string_view end : {"_us", "_microseconds", "_micros"}) {
    if (absl::EndsWith(metric, end)) return Unit::kMicroseconds;
  }
  return Unit::kSeconds;
}

// Of a dump: "name 1", "name{...} 1".
bool IsMetricLine(absl::string_view line) {
  const size_t space = line.find_last_of(' ');
  double value = 0;
  return space != absl::string_view::npos &&
         absl::SimpleAtod(line.substr(space + 1), &value);
}

class Reader {
 public:
  Reader(absl::string_view file, const ReadOptions& options)
      : file_(file), options_(options) {}

  absl::Status Add(absl::string_view line) {
    if (++line_ > kMaxLines) {
      return Error(absl::StrCat("more than ", kMaxLines, " lines"));
    }
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || line[0] == '#') return absl::OkStatus();
    const bool first = std::exchange(first_, false);
    if (IsBucketLine(line)) return AddBucket(line);
    // Beside histograms a dump holds other metrics.
    const bool number =
        absl::ascii_isdigit(static_cast<unsigned char>(line[0])) ||
        line[0] == '.' || line[0] == '-' || line[0] == '+';
    if (!number && (is_dump_ || IsMetricLine(line))) {
      is_dump_ = true;
      return absl::OkStatus();
    }
    if (first && !number) return absl::OkStatus();  // a heading
    return AddNumber(line);
  }

  absl::StatusOr<RecordedLatencies> Finish() {
    if (histograms_.empty() && !is_dump_) return FinishColumn();
    return FinishHistogram();
  }

 private:
  absl::Status Error(absl::string_view text) const {
    return absl::InvalidArgumentError(
        absl::StrCat(file_, ":", std::max(1, line_), ": ", text));
  }

  absl::Status AddBucket(absl::string_view line) {
    is_dump_ = true;
    absl::StatusOr<BucketLine> parsed = ParseBucketLine(line);
    if (!parsed.ok()) return Error(parsed.status().message());
    parsed->bucket.line = line_;
    histograms_[parsed->metric][parsed->series].push_back(parsed->bucket);
    return absl::OkStatus();
  }

  absl::Status AddNumber(absl::string_view line) {
    double value = 0;
    const double scale = ScaleOf(options_.unit.value_or(Unit::kMilliseconds));
    if (!absl::SimpleAtod(line, &value) ||
        !(value > 0 && value * scale <= kMaxSeconds)) {
      return Error(absl::StrCat("latency: got \"", line.substr(0, 40),
                                "\", want one number above 0 and at most an "
                                "hour"));
    }
    seconds_.push_back(value * scale);
    return absl::OkStatus();
  }

  absl::Status CheckNumber(uint64_t num_records) const {
    if (num_records >= kMinRecords) return absl::OkStatus();
    return Error(absl::StrCat("too few latencies: got ", num_records,
                              ", want at least ", kMinRecords));
  }

  absl::StatusOr<RecordedLatencies> FinishColumn() {
    PARM_RETURN_IF_ERROR(CheckNumber(seconds_.size()));
    if (!options_.metric.empty()) {
      return Error("--metric is given, but this is no dump of Prometheus");
    }
    std::sort(seconds_.begin(), seconds_.end());
    RecordedLatencies latencies;
    latencies.num_records = seconds_.size();
    latencies.seconds = std::move(seconds_);
    return latencies;
  }

  absl::StatusOr<RecordedLatencies> FinishHistogram() {
    std::vector<std::string> names;
    for (const auto& [name, series] : histograms_) names.push_back(name);
    if (names.empty()) {
      return Error("no histogram: want lines NAME_bucket{le=\"...\"} COUNT");
    }
    const std::string wanted =
        options_.metric.empty() ? names[0] : options_.metric;
    if ((options_.metric.empty() && names.size() > 1) ||
        histograms_.count(wanted) == 0) {
      return Error(
          absl::StrCat("several histograms, or not the one asked for: "
                       "want --metric with one of ",
                       absl::StrJoin(names, ", ")));
    }
    PARM_ASSIGN_OR_RETURN(const std::vector<Bucket> buckets,
                          AddUp(histograms_[wanted], file_));
    const double total = buckets.back().count;
    PARM_RETURN_IF_ERROR(CheckNumber(static_cast<uint64_t>(total)));
    RecordedLatencies latencies;
    latencies.metric = wanted;
    latencies.num_records = static_cast<uint64_t>(total);
    latencies.share_above_bounds =
        1 - buckets[buckets.size() - 2].count / total;
    latencies.seconds = EqualParts(buckets, kHistogramParts);
    const double scale = ScaleOf(options_.unit.value_or(UnitOfName(wanted)));
    for (double& each : latencies.seconds) each *= scale;
    if (!(latencies.seconds.back() <= kMaxSeconds) ||
        latencies.seconds.front() <= 0) {
      return Error("latencies must be above 0 and at most an hour");
    }
    return latencies;
  }

  const std::string file_;
  const ReadOptions& options_;
  int line_ = 0;
  bool first_ = true;
  bool is_dump_ = false;
  std::vector<double> seconds_;
  std::map<std::string, Series> histograms_;
};

}  // namespace

double RecordedLatencies::Mean() const {
  return std::accumulate(seconds.begin(), seconds.end(), 0.0) /
         static_cast<double>(seconds.size());
}

double RecordedLatencies::Quantile(double quantile) const {
  const auto rank = static_cast<size_t>(
      std::ceil(quantile * static_cast<double>(seconds.size())));
  return seconds[std::clamp<size_t>(rank, 1, seconds.size()) - 1];
}

absl::StatusOr<RecordedLatencies> ParseRecordedLatencies(
    absl::string_view text, absl::string_view file,
    const ReadOptions& options) {
  Reader reader(file, options);
  for (const absl::string_view line :
       absl::StrSplit(absl::StripSuffix(text, "\n"), '\n')) {
    PARM_RETURN_IF_ERROR(reader.Add(line));
  }
  return reader.Finish();
}

absl::StatusOr<RecordedLatencies> ReadRecordedLatencies(
    const std::string& path, const ReadOptions& options) {
  // A directory opens, and then throws when it is read.
  std::error_code error;
  std::ifstream file;
  if (!std::filesystem::is_directory(path, error)) {
    file.open(path, std::ios::binary);
  }
  if (!file.is_open()) {
    return absl::NotFoundError(absl::StrCat("cannot read ", path));
  }
  // Of a pipe nobody knows the size beforehand.
  std::string text;
  std::string chunk(size_t{1} << 20, '\0');
  while (file) {
    file.read(chunk.data(), static_cast<std::streamsize>(chunk.size()));
    text.append(chunk, 0, static_cast<size_t>(file.gcount()));
    if (text.size() > kMaxBytes) {
      return absl::InvalidArgumentError(absl::StrCat(
          path, ":1: file is too large: want at most ", kMaxBytes, " bytes"));
    }
  }
  return ParseRecordedLatencies(text, path, options);
}

}  // namespace parm::advise
