#include "encoder/confidence.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/status_macros.h"
#include "encoder/code.h"

namespace parm {

DecodePattern UsualPattern(int r) {
  PARM_CHECK(1 <= r && r <= kMaxParities);
  return {.losses = 1, .parities = (1U << r) - 1};
}

float MarginOf(absl::Span<const float> logits) {
  constexpr float kLowest = -std::numeric_limits<float>::infinity();
  float first = kLowest;
  float second = kLowest;
  for (const float logit : logits) {
    if (!std::isfinite(logit)) return std::numeric_limits<float>::quiet_NaN();
    if (logit > first) {
      second = first;
      first = logit;
    } else if (logit > second) {
      second = logit;
    }
  }
  return logits.size() < 2 ? 0 : first - second;
}

size_t ConfidenceStepOf(absl::Span<const ConfidenceStep> table, float margin) {
  PARM_CHECK(!table.empty());
  size_t step = 0;
  while (step + 1 < table.size() &&
         static_cast<double>(margin) >= table[step + 1].margin_at_least) {
    ++step;
  }
  return step;
}

double ConfidenceOf(absl::Span<const ConfidenceStep> table, float margin) {
  return table[ConfidenceStepOf(table, margin)].probability_right;
}

double LeastConfidenceOf(absl::Span<const ConfidenceStep> table,
                         absl::Span<const float> logits, size_t rows) {
  PARM_CHECK(rows > 0 && logits.size() % rows == 0);
  const size_t row_size = logits.size() / rows;
  double least = ConfidenceOf(table, MarginOf(logits.subspan(0, row_size)));
  for (size_t row = 1; row < rows; ++row) {
    const float margin = MarginOf(logits.subspan(row * row_size, row_size));
    least = std::min(least, ConfidenceOf(table, margin));
  }
  return least;
}

}  // namespace parm
