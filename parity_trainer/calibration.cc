#include "parity_trainer/calibration.h"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <unordered_map>
#include <unordered_set>

namespace parm {
namespace {

constexpr int64_t kLeastSamples = 100;
constexpr int64_t kLeastSamplesPerStep = 50;
constexpr int64_t kMaxSteps = 20;
constexpr int64_t kLeastSamplesForError = 5000;
constexpr int kRiskPoints = 10;

/// Distinct ones. How much decodes tell depends on these: those of one sample
/// in several groups are much alike.
int64_t NumSamples(absl::Span<const JudgedDecode> decodes) {
  std::unordered_set<int64_t> samples;
  for (const JudgedDecode& decode : decodes) samples.insert(decode.sample);
  return static_cast<int64_t>(samples.size());
}

std::vector<JudgedDecode> ByMargin(absl::Span<const JudgedDecode> decodes) {
  std::vector<JudgedDecode> sorted(decodes.begin(), decodes.end());
  std::sort(sorted.begin(), sorted.end(),
            [](const JudgedDecode& a, const JudgedDecode& b) {
              return std::tie(a.margin, a.group) < std::tie(b.margin, b.group);
            });
  return sorted;
}

/// Two neighbours as one step, at the lower one's margin.
ConfidenceStep Merge(const ConfidenceStep& low, const ConfidenceStep& high) {
  const auto low_samples = static_cast<double>(low.samples);
  const auto high_samples = static_cast<double>(high.samples);
  return {.margin_at_least = low.margin_at_least,
          .probability_right = (low.probability_right * low_samples +
                                high.probability_right * high_samples) /
                               (low_samples + high_samples),
          .samples = low.samples + high.samples};
}

/// The sum over steps of how far the number of right decodes is from what the
/// step states.
double SurplusOf(absl::Span<const ConfidenceStep> table,
                 absl::Span<const JudgedDecode> decodes) {
  std::vector<double> surplus(table.size());  // found less stated
  for (const JudgedDecode& decode : decodes) {
    const size_t step = ConfidenceStepOf(table, decode.margin);
    surplus[step] += (decode.right ? 1 : 0) - table[step].probability_right;
  }
  double sum = 0;
  for (const double step : surplus) sum += std::abs(step);
  return sum;
}

/// Of decodes in the order of growing trust.
std::vector<RiskPoint> RiskInOrder(absl::Span<const JudgedDecode> sorted) {
  if (NumSamples(sorted) < kRiskPoints) return {};
  std::vector<RiskPoint> points;
  int64_t right = 0;
  int64_t deployed_right = 0;
  size_t taken = 0;
  for (size_t point = 1; point <= kRiskPoints; ++point) {
    const size_t want = sorted.size() * point / kRiskPoints;
    for (; taken < want; ++taken) {
      const JudgedDecode& decode = sorted[sorted.size() - 1 - taken];
      right += decode.right ? 1 : 0;
      deployed_right += decode.deployed_right ? 1 : 0;
    }
    const auto count = static_cast<double>(taken);
    points.push_back(
        {.coverage = static_cast<double>(point) / kRiskPoints,
         .accuracy = static_cast<double>(right) / count,
         .deployed_accuracy = static_cast<double>(deployed_right) / count});
  }
  return points;
}

struct SplitDecodes {
  std::vector<JudgedDecode> agree;
  std::vector<JudgedDecode> differ;
};

SplitDecodes BySiblings(absl::Span<const JudgedDecode> decodes) {
  SplitDecodes split;
  for (const JudgedDecode& decode : decodes) {
    if (!decode.siblings_agree) continue;
    (*decode.siblings_agree ? split.agree : split.differ).push_back(decode);
  }
  return split;
}

}  // namespace

std::vector<ConfidenceStep> FitConfidence(
    absl::Span<const JudgedDecode> decodes) {
  const int64_t samples = NumSamples(decodes);
  if (samples < kLeastSamples) return {};
  const auto count = static_cast<int64_t>(decodes.size());
  const std::vector<JudgedDecode> sorted = ByMargin(decodes);
  const int64_t steps = std::min(kMaxSteps, samples / kLeastSamplesPerStep);
  const auto at = [&sorted](int64_t i) {
    return sorted[static_cast<size_t>(i)].margin;
  };
  std::vector<ConfidenceStep> table;
  int64_t begin = 0;
  for (int64_t step = 0; step < steps; ++step) {
    int64_t end = count * (step + 1) / steps;
    // Equal margins belong to one step.
    while (end > begin && end < count && at(end) == at(end - 1)) ++end;
    if (end <= begin) continue;
    int64_t right = 0;
    for (int64_t i = begin; i < end; ++i) {
      right += sorted[static_cast<size_t>(i)].right ? 1 : 0;
    }
    ConfidenceStep next = {
        .margin_at_least = begin == 0 ? 0 : at(begin),
        .probability_right =
            static_cast<double>(right) / static_cast<double>(end - begin),
        .samples = end - begin};
    // Pool adjacent violators.
    while (!table.empty() &&
           table.back().probability_right >= next.probability_right) {
      next = Merge(table.back(), next);
      table.pop_back();
    }
    table.push_back(next);
    begin = end;
  }
  return table;
}

void SetSiblingsAgree(std::vector<JudgedDecode>* decodes) {
  std::unordered_map<int64_t, int64_t> differing;  // of a group's decodes
  for (const JudgedDecode& decode : *decodes) {
    differing[decode.group] += decode.agrees ? 0 : 1;
  }
  for (JudgedDecode& decode : *decodes) {
    const int64_t own = decode.agrees ? 0 : 1;
    decode.siblings_agree = differing[decode.group] == own;
  }
}

std::optional<double> CalibrationError(absl::Span<const ConfidenceStep> table,
                                       absl::Span<const JudgedDecode> decodes) {
  if (table.empty() || NumSamples(decodes) < kLeastSamplesForError) {
    return std::nullopt;
  }
  return SurplusOf(table, decodes) / static_cast<double>(decodes.size());
}

std::vector<RiskPoint> RiskCoverage(absl::Span<const JudgedDecode> decodes) {
  return RiskInOrder(ByMargin(decodes));
}

std::vector<ReliabilityPoint> Reliability(
    absl::Span<const ConfidenceStep> table,
    absl::Span<const JudgedDecode> decodes) {
  if (table.empty()) return {};
  std::vector<ReliabilityPoint> points(table.size());
  for (const JudgedDecode& decode : decodes) {
    ReliabilityPoint& point = points[ConfidenceStepOf(table, decode.margin)];
    ++point.decodes;
    point.found += decode.right ? 1 : 0;
  }
  std::vector<ReliabilityPoint> seen;
  for (size_t step = 0; step < table.size(); ++step) {
    ReliabilityPoint point = points[step];
    if (point.decodes == 0) continue;
    point.stated = table[step].probability_right;
    point.found /= static_cast<double>(point.decodes);
    seen.push_back(point);
  }
  return seen;
}

const std::vector<ConfidenceStep>& SiblingConfidence::TableFor(
    const JudgedDecode& decode) const {
  return decode.siblings_agree.value_or(true) ? agree : differ;
}

std::optional<SiblingConfidence> FitSiblingConfidence(
    absl::Span<const JudgedDecode> decodes) {
  const SplitDecodes split = BySiblings(decodes);
  SiblingConfidence tables = {.agree = FitConfidence(split.agree),
                              .differ = FitConfidence(split.differ)};
  if (tables.agree.empty() || tables.differ.empty()) return std::nullopt;
  return tables;
}

std::optional<double> SiblingCalibrationError(
    const SiblingConfidence& tables, absl::Span<const JudgedDecode> decodes) {
  if (NumSamples(decodes) < kLeastSamplesForError) return std::nullopt;
  const SplitDecodes split = BySiblings(decodes);
  return (SurplusOf(tables.agree, split.agree) +
          SurplusOf(tables.differ, split.differ)) /
         static_cast<double>(decodes.size());
}

std::vector<RiskPoint> SiblingRiskCoverage(
    const SiblingConfidence& tables, absl::Span<const JudgedDecode> decodes) {
  const auto trust = [&tables](const JudgedDecode& decode) {
    return ConfidenceOf(tables.TableFor(decode), decode.margin);
  };
  std::vector<JudgedDecode> sorted(decodes.begin(), decodes.end());
  std::sort(sorted.begin(), sorted.end(),
            [&trust](const JudgedDecode& a, const JudgedDecode& b) {
              return std::make_tuple(trust(a), a.margin, a.group) <
                     std::make_tuple(trust(b), b.margin, b.group);
            });
  return RiskInOrder(sorted);
}

}  // namespace parm
