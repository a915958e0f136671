#include "parity_trainer/cost.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "base/status_macros.h"
#include "base/time.h"

namespace parm {
namespace {

constexpr int kWarmUpRuns = 5;
constexpr int kRuns = 100;

absl::StatusOr<double> Seconds(const ModelRunner& model,
                               const HostTensor& input) {
  const Time begin = std::chrono::steady_clock::now();
  PARM_RETURN_IF_ERROR(model.Run(input).status());
  return ToSeconds(std::chrono::steady_clock::now() - begin);
}

/// That of a run that other work disturbed little.
double LowestTenth(std::vector<double> values) {
  const auto tenth =
      values.begin() + static_cast<std::ptrdiff_t>(values.size() / 10);
  std::nth_element(values.begin(), tenth, values.end());
  return *tenth;
}

}  // namespace

absl::StatusOr<double> MeasureRelativeCost(const ModelRunner& model,
                                           const HostTensor& input,
                                           const ModelRunner& reference,
                                           const HostTensor& reference_input) {
  std::vector<double> model_seconds;
  std::vector<double> reference_seconds;
  for (int i = 0; i < kWarmUpRuns + kRuns; ++i) {
    PARM_ASSIGN_OR_RETURN(const double model_time, Seconds(model, input));
    PARM_ASSIGN_OR_RETURN(const double reference_time,
                          Seconds(reference, reference_input));
    if (i < kWarmUpRuns) continue;
    model_seconds.push_back(model_time);
    reference_seconds.push_back(reference_time);
  }
  return LowestTenth(model_seconds) / LowestTenth(reference_seconds);
}

}  // namespace parm
