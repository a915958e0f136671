#include "experiments/load/kolmogorov_smirnov.h"

#include <algorithm>
#include <cmath>

namespace parm {

KsResult TestUniform(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const auto n = static_cast<double>(values.size());
  KsResult result;
  for (size_t i = 0; i < values.size(); ++i) {
    const double law = std::clamp(values[i], 0.0, 1.0);
    const double below = static_cast<double>(i) / n;
    result.distance =
        std::max({result.distance, law - below, below + 1 / n - law});
  }
  const double x =
      (std::sqrt(n) + 0.12 + 0.11 / std::sqrt(n)) * result.distance;
  // The series does not converge near 0, where the probability is 1.
  if (x < 0.2) return result;
  double sum = 0;
  double sign = 1;
  for (int k = 1; k <= 100; ++k, sign = -sign) {
    sum += sign * std::exp(-2 * k * k * x * x);
  }
  result.probability = std::clamp(2 * sum, 0.0, 1.0);
  return result;
}

}  // namespace parm
