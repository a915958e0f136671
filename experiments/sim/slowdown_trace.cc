#include "experiments/sim/slowdown_trace.h"

#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"

namespace parm::sim {

namespace {

constexpr size_t kMaxRecords = 1'000'000;
constexpr int kMaxLineBytes = 1 << 16;

using Fields = std::vector<absl::string_view>;

struct GzClose {
  void operator()(gzFile_s* file) const { gzclose_r(file); }
};

struct Columns {
  size_t count = 0;
  size_t slowdown = 0;
  std::optional<size_t> series;
  std::optional<size_t> vm_sku;
};

std::optional<size_t> Find(const Fields& header, absl::string_view name) {
  const auto found = std::find(header.begin(), header.end(), name);
  if (found == header.end()) return std::nullopt;
  return static_cast<size_t>(found - header.begin());
}

absl::StatusOr<Columns> ReadHeader(absl::string_view line,
                                   const SlowdownFilter& filter) {
  const Fields header = absl::StrSplit(line, ',');
  Columns columns = {.count = header.size()};
  const std::optional<size_t> slowdown = Find(header, "slowdown");
  if (!slowdown) {
    return absl::InvalidArgumentError("header names no column `slowdown`");
  }
  columns.slowdown = *slowdown;
  columns.series = Find(header, "series");
  columns.vm_sku = Find(header, "vm_sku");
  if (!filter.series.empty() && !columns.series) {
    return absl::InvalidArgumentError("header names no column `series`");
  }
  if (!filter.vm_sku.empty() && !columns.vm_sku) {
    return absl::InvalidArgumentError("header names no column `vm_sku`");
  }
  return columns;
}

bool Passes(const Fields& fields, const std::optional<size_t>& column,
            const std::string& want) {
  return want.empty() || fields[*column] == want;
}

/// nullopt: filtered out.
absl::StatusOr<std::optional<double>> ReadRecord(absl::string_view line,
                                                 const Columns& columns,
                                                 const SlowdownFilter& filter) {
  const Fields fields = absl::StrSplit(line, ',');
  if (fields.size() != columns.count) {
    return absl::InvalidArgumentError(
        absl::StrCat("row has another length than the header: got ",
                     fields.size(), " fields, want ", columns.count));
  }
  double slowdown = 0;
  if (!absl::SimpleAtod(fields[columns.slowdown], &slowdown) ||
      !(slowdown >= 0.01 && slowdown <= 10'000)) {
    return absl::InvalidArgumentError(
        absl::StrCat("slowdown: got \"", fields[columns.slowdown],
                     "\", want a number from 0.01 to 10000"));
  }
  if (!Passes(fields, columns.series, filter.series) ||
      !Passes(fields, columns.vm_sku, filter.vm_sku)) {
    return std::nullopt;
  }
  return slowdown;
}

}  // namespace

absl::StatusOr<std::vector<double>> ReadSlowdowns(
    const std::string& path, const SlowdownFilter& filter) {
  errno = 0;
  const std::unique_ptr<gzFile_s, GzClose> file(gzopen(path.c_str(), "rb"));
  if (file == nullptr) {
    return absl::NotFoundError(
        absl::StrCat("cannot open ", path, ": ",
                     errno != 0 ? std::strerror(errno) : "out of memory"));
  }
  int line_number = 0;
  const auto at_line = [&](absl::string_view text) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ":", std::max(1, line_number), ": ", text));
  };
  std::vector<char> buffer(kMaxLineBytes);
  std::optional<Columns> columns;
  std::vector<double> slowdowns;
  while (gzgets(file.get(), buffer.data(), kMaxLineBytes) != nullptr) {
    ++line_number;
    const absl::string_view line =
        absl::StripTrailingAsciiWhitespace(buffer.data());
    if (line.empty()) continue;
    if (!columns) {
      absl::StatusOr<Columns> header = ReadHeader(line, filter);
      if (!header.ok()) return at_line(header.status().message());
      columns = *header;
      continue;
    }
    const absl::StatusOr<std::optional<double>> record =
        ReadRecord(line, *columns, filter);
    if (!record.ok()) return at_line(record.status().message());
    if (!*record) continue;
    if (slowdowns.size() == kMaxRecords) {
      return at_line(absl::StrCat("more than ", kMaxRecords, " records"));
    }
    slowdowns.push_back(**record);
  }
  int code = Z_OK;
  const char* const damage = gzerror(file.get(), &code);
  if (code != Z_OK) return at_line(absl::StrCat("damaged file: ", damage));
  if (!columns) return at_line("empty file: want a header line");
  if (slowdowns.empty()) return at_line("no record passes the filter");
  return slowdowns;
}

}  // namespace parm::sim
