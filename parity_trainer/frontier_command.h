#pragma once

// `parm-train frontier`: what one extra task per group buys, for every unit of
// redundancy at hand: its cost on this machine, its bytes, its accuracy.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "parity_trainer/command_options.h"

namespace parm {

struct FrontierOptions {
  DataOptions data;
  std::string deployed;
  /// Parity bundles. For each of their k, `pack` of the deployed model is
  /// measured beside them.
  std::vector<std::string> parities;
  /// k of training-free codes (berrut_command.h) with one worker more.
  std::vector<int> training_free;
  uint64_t seed = 1;  // of their calibration groups
  std::string json_file;
  std::string picture_file;  // SVG; empty: none
};

/// Returns a line per unit for the user.
/// Errors: kInvalidArgument without a parity bundle; else as LoadParityModel,
/// LoadDataFor, EvaluateParity, MeasureRelativeCost, MeasureTrainingFree and
/// WriteFileAtomically.
absl::StatusOr<std::string> RunFrontierCommand(const FrontierOptions& options);

}  // namespace parm
