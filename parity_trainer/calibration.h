#pragma once

// How far a reconstruction can be trusted: the table of encoder/confidence.h,
// from margin to the probability of being right, measured on some decodes and
// judged on others.

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "encoder/confidence.h"

namespace parm {

/// One reconstruction of a sample whose label is known.
struct JudgedDecode {
  int64_t group = 0;
  int32_t label = 0;
  float margin = 0;  // greatest logit less the next
  bool right = false;
  bool deployed_right = false;  // the deployed model's own answer
};

/// Steps of equal numbers of decodes, merged until the probability grows with
/// the margin; the first begins at 0. Empty for fewer than 100 decodes.
std::vector<ConfidenceStep> FitConfidence(
    absl::Span<const JudgedDecode> decodes);

/// Mean distance between stated and found probability over the steps of the
/// table, weighted by their decodes; nullopt for fewer than 5,000 decodes, of
/// which it would be mostly noise, or an empty table.
std::optional<double> CalibrationError(absl::Span<const ConfidenceStep> table,
                                       absl::Span<const JudgedDecode> decodes);

/// Of the share `coverage` of the decodes with the greatest margins.
struct RiskPoint {
  double coverage = 0;
  double accuracy = 0;           // of the reconstructions
  double deployed_accuracy = 0;  // of the deployed model on the same samples
};

/// At coverages 0.1, 0.2 .. 1. Empty for fewer than 10 decodes.
std::vector<RiskPoint> RiskCoverage(absl::Span<const JudgedDecode> decodes);

}  // namespace parm
