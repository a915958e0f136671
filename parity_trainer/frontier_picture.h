#pragma once

// The frontier as a picture: accuracy of what is served in place of a lost
// answer, against the server time that it costs each query.

#include <string>
#include <vector>

#include "absl/types/span.h"

namespace parm {

struct FrontierPoint {
  std::string label;
  double extra_time_per_query = 0;  // in service times of the deployed model
  double accuracy = 0;              // fraction
  bool exact = false;               // the deployed model itself answers
};

/// An SVG with the deployed model's accuracy as a line across.
/// Needs: at least one point.
std::string DrawFrontier(absl::Span<const FrontierPoint> points,
                         double deployed_accuracy);

}  // namespace parm
