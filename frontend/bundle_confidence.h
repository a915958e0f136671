#pragma once

// How far to trust decodes that use a parity bundle's answers: its tables, as
// workers tell them in their Hellos, and which of them is a decode's. The
// catalog keeps one for each bundle, the performer asks it at each decode.

#include <vector>

#include "absl/types/span.h"
#include "encoder/code.h"
#include "encoder/confidence.h"
#include "proto/envelope.pb.h"

namespace parm {

/// Bound: the tables of one BundleInfo.
struct BundleConfidence {
  /// Of the code's UsualPattern; of a multi-output code for any decode. Empty:
  /// not known.
  std::vector<ConfidenceStep> usual;
  std::vector<PatternTable> others;
};

/// Replaces what the worker tells of. One that tells of no table, such as an
/// older one, takes nothing away.
void TakeConfidence(const wire::BundleInfo& info, BundleConfidence* confidence);

/// Empty where the bundle does not tell of such decodes: the table of one loss
/// and all parities would promise too much of them. Good as long as
/// `confidence` does not change.
absl::Span<const ConfidenceStep> TableFor(const BundleConfidence& confidence,
                                          const Code& code,
                                          const DecodePattern& pattern);

}  // namespace parm
