#pragma once

// Trains a parity model: from parity queries made by the code's own Encode to
// what the deployed model answers for the members, their sum or one by one as
// the code wants it.

#include <string>

#include "absl/status/statusor.h"
#include "encoder/code.h"
#include "parity_trainer/dataset.h"
#include "parity_trainer/host_tensor.h"
#include "parity_trainer/progress.h"
#include "parity_trainer/training_settings.h"

namespace parm {

struct ParityTrainingInput {
  const Code* code = nullptr;
  int parity_index = 0;
  const Dataset* data = nullptr;
  DataType wire_datatype = DataType::kInvalid;
  /// The deployed model's logits on data->train, [size, classes].
  const HostTensor* deployed_logits = nullptr;
  std::string deployed_model;  // its TorchScript file
  /// Whether that is a network of the registry, which can be laid out
  /// otherwise.
  bool deployed_is_ours = false;
  /// A TorchScript file whose weights to start from where names and shapes
  /// allow; empty: from random ones.
  std::string start_model;
  std::string architecture;
  double width = 1;  // share of its channels
};

/// Each epoch draws fresh random k-tuples: every sample once, in a new pairing.
/// A rest of fewer than k samples sits the epoch out. Pictures are augmented
/// before they are encoded; the recipe says whether the deployed model answers
/// them as augmented or as they were.
/// Needs:  data->train.size() >= k; parity_index below the code's r.
/// Errors: as BuildArchitecture, EncodeGroups and RunTraining;
///         kInvalidArgument for an unknown loss, an augmentation that does not
///         suit the samples, or a model that cannot be read.
absl::StatusOr<TrainedModel> TrainParity(const ParityTrainingInput& input,
                                         const TrainingSettings& settings,
                                         ProgressReporter* progress);

}  // namespace parm
