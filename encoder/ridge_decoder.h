#pragma once

// A decoder for a code of the berrut kind that is measured rather than derived:
// the linear map from the workers' outputs to the members' outputs that is best
// over a few thousand calibration groups. It needs calls of the deployed model
// only, no labels and no gradients, and one matrix per arrival pattern.

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "encoder/berrut_code.h"
#include "encoder/matrix.h"

namespace parm {

/// Collects second moments, so that every arrival pattern is fitted from one
/// pass over the calibration groups.
class RidgeDecoder {
 public:
  /// Needs: 1 <= k, num_workers <= BerrutCode::kMaxWorkers.
  RidgeDecoder(int k, int num_workers);

  /// Adds one group: coded_outputs[i] is what worker i answered, outputs[j]
  /// what the model answers to member j, value by value; the map is shared by
  /// all values. Errors: kInvalidArgument if counts or sizes differ from that
  /// or a value is
  ///         not finite; nothing is added then.
  absl::Status Add(absl::Span<const std::vector<float>> coded_outputs,
                   absl::Span<const std::vector<float>> outputs);

  int64_t num_values() const { return num_values_; }

  /// The k x num_workers matrix D, zero for workers that have not answered,
  /// that minimises |D Yc - Y|^2 + ridge * power * values * |D|^2, where power
  /// is the mean square of the outputs used, so that `ridge` has no unit.
  /// Errors: kFailedPrecondition if no worker answered, nothing was added, or
  ///         (ridge 0) the outputs do not determine D; kInvalidArgument if
  ///         ridge is negative or not finite.
  absl::StatusOr<Matrix> Fit(WorkerMask answered, double ridge) const;

 private:
  int k_;
  int num_workers_;
  int64_t num_values_ = 0;
  Matrix gram_;   // num_workers x num_workers: sums of coded products.
  Matrix cross_;  // num_workers x k: sums of coded times true.
};

}  // namespace parm
