#include "frontend/counter_carry.h"

#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace parm {
namespace {

struct Sample {
  absl::string_view series;  // "name{labels}"
  double value = 0;
};

// Reads line after line: the type of a family stands before its samples.
class LineReader {
 public:
  // True for a sample of a counter or a histogram.
  bool Read(absl::string_view line, Sample* sample) {
    absl::string_view type = line;
    if (absl::ConsumePrefix(&type, "# TYPE ")) {
      adds_up_ = absl::EndsWith(type, " counter") ||
                 absl::EndsWith(type, " histogram");
    }
    if (!adds_up_ || absl::StartsWith(line, "#")) return false;
    const size_t space = line.rfind(' ');
    if (space == absl::string_view::npos) return false;
    sample->series = line.substr(0, space);
    return absl::SimpleAtod(line.substr(space + 1), &sample->value);
  }

 private:
  bool adds_up_ = false;
};

}  // namespace

void CounterCarry::Add(absl::string_view text) {
  LineReader reader;
  Sample sample;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    if (!reader.Read(line, &sample)) continue;
    sums_[std::string(sample.series)] += sample.value;
  }
}

std::string CounterCarry::ApplyTo(absl::string_view text) const {
  if (sums_.empty()) return std::string(text);
  LineReader reader;
  Sample sample;
  std::string out;
  out.reserve(text.size());
  std::vector<absl::string_view> lines = absl::StrSplit(text, '\n');
  if (lines.back().empty()) lines.pop_back();
  for (const absl::string_view line : lines) {
    const auto sum = reader.Read(line, &sample)
                         ? sums_.find(std::string(sample.series))
                         : sums_.end();
    if (sum == sums_.end()) {
      absl::StrAppendFormat(&out, "%s\n", line);
    } else {
      absl::StrAppendFormat(&out, "%s %.15g\n", sample.series,
                            sample.value + sum->second);
    }
  }
  return out;
}

}  // namespace parm
