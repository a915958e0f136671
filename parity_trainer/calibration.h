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
  int64_t sample = 0;  // may have been reconstructed several times
  int32_t label = 0;
  float margin = 0;  // greatest logit less the next
  bool right = false;
  bool deployed_right = false;  // the deployed model's own answer
  bool agrees = false;          // in class with the deployed model's answer
  /// Of the group's other members: whether the parity model answers all of them
  /// as the deployed model does. A decoder of a multi-output code sees that
  /// where their exact answers have arrived. Not known for other codes.
  std::optional<bool> siblings_agree;
};

/// Sets siblings_agree from the other decodes of each group.
/// Needs: every member of a group decoded once, by a multi-output code.
void SetSiblingsAgree(std::vector<JudgedDecode>* decodes);

/// Steps of equal numbers of decodes, merged until the probability grows with
/// the margin; the first begins at 0. Empty for decodes of fewer than 100
/// distinct samples.
std::vector<ConfidenceStep> FitConfidence(
    absl::Span<const JudgedDecode> decodes);

/// Mean distance between stated and found probability over the steps of the
/// table, weighted by their decodes; nullopt for those of fewer than 5,000
/// distinct samples, of which it would be mostly noise, or an empty table.
std::optional<double> CalibrationError(absl::Span<const ConfidenceStep> table,
                                       absl::Span<const JudgedDecode> decodes);

/// Of the share `coverage` of the decodes with the greatest margins.
struct RiskPoint {
  double coverage = 0;
  double accuracy = 0;           // of the reconstructions
  double deployed_accuracy = 0;  // of the deployed model on the same samples
};

/// The same for decoders that see whether a decode's siblings agree: a table
/// for each case. What that is worth: no frontend does it.
struct SiblingConfidence {
  std::vector<ConfidenceStep> agree;
  std::vector<ConfidenceStep> differ;

  const std::vector<ConfidenceStep>& TableFor(const JudgedDecode& decode) const;
};

/// nullopt where siblings tell nothing: another kind of code, or decodes of
/// fewer than 100 distinct samples in either case.
std::optional<SiblingConfidence> FitSiblingConfidence(
    absl::Span<const JudgedDecode> decodes);

/// As CalibrationError, over the steps of both tables.
/// Needs: decodes with siblings_agree.
std::optional<double> SiblingCalibrationError(
    const SiblingConfidence& tables, absl::Span<const JudgedDecode> decodes);

/// As RiskCoverage, in the order of stated probability instead of margin.
/// Needs: decodes with siblings_agree.
std::vector<RiskPoint> SiblingRiskCoverage(
    const SiblingConfidence& tables, absl::Span<const JudgedDecode> decodes);

/// Stated and found probability of the decodes in one step of a table.
struct ReliabilityPoint {
  double stated = 0;
  double found = 0;
  int64_t decodes = 0;
};

/// Steps without decodes are left out.
std::vector<ReliabilityPoint> Reliability(
    absl::Span<const ConfidenceStep> table,
    absl::Span<const JudgedDecode> decodes);

/// At coverages 0.1, 0.2 .. 1. Empty for decodes of fewer than 10 distinct
/// samples.
std::vector<RiskPoint> RiskCoverage(absl::Span<const JudgedDecode> decodes);

}  // namespace parm
