#pragma once

// What a parity bundle is worth: its reconstructions on a test set, how well
// its own confidence table describes them, what it costs and sends. Shared by
// `evaluate` and `frontier`.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "encoder/code.h"
#include "parity_trainer/calibration.h"
#include "parity_trainer/dataset.h"
#include "parity_trainer/deployed_model.h"
#include "parity_trainer/evaluation.h"
#include "parity_trainer/host_tensor.h"
#include "parity_trainer/model_runner.h"
#include "proto/bundle.h"

namespace parm {

struct ParityFigures {
  bundle::Manifest manifest;
  CodeSpec code;
  ErasureResult erasures;
  std::optional<double> calibration_error;
  std::vector<RiskPoint> risk;
  int64_t query_bytes = 0;  // of the parity query for one group at batch 1
};

/// A parity bundle with its model, checked against the deployed one.
struct ParityModel {
  Bundle bundle;
  std::unique_ptr<const Code> code;
  ModelRunner runner;
};

/// Errors: kFailedPrecondition if it was made for another deployed bundle;
/// kInvalidArgument if it is no parity bundle or of a code with several
/// parities; else as LoadBundle and CreateCode.
absl::StatusOr<ParityModel> LoadParityModel(const DeployedModel& deployed,
                                            const std::string& directory);

/// The parity query that a frontend sends for the first k test samples.
/// Errors: kInvalidArgument if there are fewer; else as EncodeGroups.
absl::StatusOr<HostTensor> ExampleQuery(const Code& code, const Dataset& data,
                                        DataType datatype);

/// Shape:  deployed_logits: [test size, classes].
/// Errors: as ExampleQuery and EvaluateErasures.
absl::StatusOr<ParityFigures> EvaluateParity(const ParityModel& parity,
                                             const DeployedModel& deployed,
                                             const Dataset& data,
                                             const HostTensor& deployed_logits);

}  // namespace parm
