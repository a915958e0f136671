#pragma once

// A model without torch: y = scale * W x + bias * b, with W and b drawn from a
// seed. It is linear, so it is its own parity model for the sum code, and its
// numbers are small multiples of 1/16, so sums of modest inputs are exact in
// fp32 and reconstructions can be compared bit by bit.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "backends/model.h"
#include "encoder/code.h"
#include "encoder/confidence.h"
#include "proto/bundle.h"

namespace parm {

/// The contents of a linear model file, one "key value" pair a line:
///   parm-linear 2 / seed 7 / inputs 784 / outputs 10 / scale 1 / bias 0 /
///   cells 1
struct LinearModelSpec {
  uint64_t seed = 1;
  int64_t num_inputs = 784;
  int64_t num_outputs = 10;
  float scale = 1;
  /// How often the drawn vector b is added.
  float bias = 0;
  /// Above 1, the model answers for a `tile` query of so many cells, whose
  /// pictures are square and of one channel: [cells, batch, outputs], the
  /// answer for each cell enlarged to the whole picture. That is exact for
  /// pictures in which shrinking loses nothing.
  int cells = 1;
  /// Answers for a sample whose first element is this value fail or are NaN,
  /// so that tests reach those paths.
  static constexpr float kErrorInput = -12345;
  static constexpr float kNanInput = -54321;
};

std::string WriteLinearModel(const LinearModelSpec& spec);
/// Errors: kDataLoss if the text is not what WriteLinearModel writes.
absl::StatusOr<LinearModelSpec> ReadLinearModel(absl::string_view text);

/// The outputs of one sample, as the model computes them.
std::vector<float> LinearOutput(const LinearModelSpec& spec,
                                const std::vector<float>& sample);

/// A ModelLoader. Takes one FP32 or UINT8 input whose dimension 0 is the
/// batch; answers FP32 [batch, outputs], or [cells, batch, outputs].
absl::StatusOr<std::unique_ptr<const Model>> LoadLinearModel(
    const ModelFile& file);

/// A bundle around a linear model.
struct LinearBundleOptions {
  LinearModelSpec model;
  std::string name = "linear";
  std::string version = "1";
  DataType input_datatype = DataType::kFp32;
  /// Without the batch dimension; its product replaces model.num_inputs.
  std::vector<int64_t> sample_shape = {784};
  /// The calibration table of parity bundles; empty: none.
  std::vector<ConfidenceStep> confidence = {};
};

/// Writes the deployed model's bundle into `directory`.
/// Errors: as WriteBundle.
absl::StatusOr<Bundle> WriteLinearBundle(const std::string& directory,
                                         const LinearBundleOptions& options);

/// Writes a parity bundle for the deployed one of the same options. It is
/// exact with the schemes "sum" (on UINT8 the parity query is the rounded mean,
/// so the model is scaled by k) and "pack" (the deployed model itself); with
/// "tile" for pictures that shrinking leaves what they are; with "weighted" for
/// FP32 (beyond its first parity, queries of UINT8 are moved as well).
/// Errors: as WriteBundle; kInvalidArgument for another scheme.
absl::StatusOr<Bundle> WriteLinearParityBundle(
    const std::string& directory, const LinearBundleOptions& deployed_options,
    const Bundle& deployed, const CodeSpec& code, int parity_index = 0);

}  // namespace parm
