#include "parity_trainer/calibration.h"

#include <algorithm>
#include <cmath>
#include <tuple>

namespace parm {
namespace {

constexpr int64_t kLeastDecodes = 100;
constexpr int64_t kLeastDecodesPerStep = 50;
constexpr int64_t kMaxSteps = 20;
constexpr size_t kLeastDecodesForError = 5000;
constexpr int kRiskPoints = 10;

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

}  // namespace

std::vector<ConfidenceStep> FitConfidence(
    absl::Span<const JudgedDecode> decodes) {
  const auto count = static_cast<int64_t>(decodes.size());
  if (count < kLeastDecodes) return {};
  const std::vector<JudgedDecode> sorted = ByMargin(decodes);
  const int64_t steps = std::min(kMaxSteps, count / kLeastDecodesPerStep);
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

std::optional<double> CalibrationError(absl::Span<const ConfidenceStep> table,
                                       absl::Span<const JudgedDecode> decodes) {
  if (table.empty() || decodes.size() < kLeastDecodesForError) {
    return std::nullopt;
  }
  std::vector<double> surplus(table.size());  // found less stated
  for (const JudgedDecode& decode : decodes) {
    const size_t step = ConfidenceStepOf(table, decode.margin);
    surplus[step] += (decode.right ? 1 : 0) - table[step].probability_right;
  }
  double error = 0;
  for (const double step : surplus) error += std::abs(step);
  return error / static_cast<double>(decodes.size());
}

std::vector<RiskPoint> RiskCoverage(absl::Span<const JudgedDecode> decodes) {
  if (decodes.size() < kRiskPoints) return {};
  const std::vector<JudgedDecode> sorted = ByMargin(decodes);
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

}  // namespace parm
