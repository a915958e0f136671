#pragma once

// How far a decode can be trusted: from what the decoder sees of it, the margin
// of its logits, to the probability that its class is right. The trainer fits
// the table on decodes whose labels it knows (parity_trainer/calibration.h),
// the frontend looks decodes up in it: both measure a margin here.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace parm {

/// A step of a table, whose margins ascend: decodes with at least this margin,
/// and less than the next step's, were right so often.
struct ConfidenceStep {
  double margin_at_least = 0;
  double probability_right = 0;
  int64_t samples = 0;  // that say so; 0: not known

  bool operator==(const ConfidenceStep&) const = default;
};

/// What a decode is made of, as far as its confidence depends on that. Multi-
/// output codes have one pattern: an answer is what it is, whatever is lost.
struct DecodePattern {
  int losses = 1;         // members without an output, the decoded one too
  uint32_t parities = 1;  // bit p: the answer of parity p is used

  bool operator==(const DecodePattern&) const = default;
};

/// One loss, made up for with all of r parities: what a bundle's first table is
/// of.
/// Needs: 1 <= r <= kMaxParities.
DecodePattern UsualPattern(int r);

/// The table for decodes of one pattern.
struct PatternTable {
  DecodePattern pattern;
  std::vector<ConfidenceStep> steps;

  bool operator==(const PatternTable&) const = default;
};

/// Greatest of one sample's logits less the next greatest; 0 for fewer than
/// two, NaN where one is not finite.
float MarginOf(absl::Span<const float> logits);

/// The position of the step that a margin belongs to: the first for margins
/// below it, and for NaN.
/// Needs: a table that is not empty.
size_t ConfidenceStepOf(absl::Span<const ConfidenceStep> table, float margin);

/// Probability that a decode with this margin is right.
/// Needs: a table that is not empty.
double ConfidenceOf(absl::Span<const ConfidenceStep> table, float margin);

/// The least ConfidenceOf of `rows` samples, one behind the other.
/// Needs: a table that is not empty; rows divides logits.size(), and is not 0.
double LeastConfidenceOf(absl::Span<const ConfidenceStep> table,
                         absl::Span<const float> logits, size_t rows);

}  // namespace parm
