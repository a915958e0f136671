#pragma once

// How a training run went, epoch by epoch: a line of JSON each, and a picture.
// Both lie in the bundle that came of it.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/types/span.h"

namespace parm {

struct EpochRecord {
  int64_t epoch = 0;         // from 1
  int64_t step = 0;          // steps done by then
  double loss = 0;           // mean over the epoch's examples
  double learning_rate = 0;  // of its last step
  double seconds = 0;        // since the beginning, resumed parts included
  std::optional<double> held_out_accuracy;  // if samples are held out
};

/// One object a line; figures that are not there are null.
std::string ToJsonLines(absl::Span<const EpochRecord> history);

/// Loss, and accuracy of the held-out samples, by epoch: an SVG.
std::string DrawLearningCurve(absl::Span<const EpochRecord> history);

}  // namespace parm
