#include "frontend/bundle_confidence.h"

namespace parm {
namespace {

std::vector<ConfidenceStep> StepsOf(
    const google::protobuf::RepeatedPtrField<wire::CalibrationBin>& bins) {
  std::vector<ConfidenceStep> table;
  for (const wire::CalibrationBin& bin : bins) {
    table.push_back({.margin_at_least = bin.margin_at_least(),
                     .probability_right = bin.probability_right()});
  }
  return table;
}

}  // namespace

void TakeConfidence(const wire::BundleInfo& info,
                    BundleConfidence* confidence) {
  if (!info.calibration().empty()) {
    confidence->usual = StepsOf(info.calibration());
  }
  if (info.pattern_calibration().empty()) return;
  confidence->others.clear();
  for (const wire::PatternCalibration& told : info.pattern_calibration()) {
    confidence->others.push_back(
        {.pattern = {.losses = static_cast<int>(told.losses()),
                     .parities = told.parities()},
         .steps = StepsOf(told.calibration())});
  }
}

absl::Span<const ConfidenceStep> TableFor(const BundleConfidence& confidence,
                                          const Code& code,
                                          const DecodePattern& pattern) {
  if (code.multi_output() || pattern == UsualPattern(code.spec().r)) {
    return confidence.usual;
  }
  for (const PatternTable& table : confidence.others) {
    if (table.pattern == pattern) return table.steps;
  }
  return {};
}

}  // namespace parm
