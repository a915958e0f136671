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
#include "encoder/confidence.h"
#include "parity_trainer/calibration.h"
#include "parity_trainer/dataset.h"
#include "parity_trainer/deployed_model.h"
#include "parity_trainer/evaluation.h"
#include "parity_trainer/host_tensor.h"
#include "parity_trainer/model_runner.h"
#include "proto/bundle.h"

namespace parm {

/// Of the reconstructions of one pattern, and how well the table that bundles
/// have of it describes them.
struct PatternFigures {
  DecodePattern pattern;
  DegradedAccuracy a_d;
  std::optional<double> calibration_error;
  std::vector<ReliabilityPoint> reliability;  // empty: there is no table
};

struct ParityFigures {
  bundle::Manifest manifest;
  CodeSpec code;
  ErasureResult erasures;
  std::optional<double> calibration_error;
  std::vector<RiskPoint> risk;
  std::vector<ReliabilityPoint> reliability;
  /// Of every other pattern than one loss with all parities.
  std::vector<PatternFigures> patterns;
  /// The same with a table that knows whether siblings agree, where they tell
  /// something: it is in no bundle.
  std::optional<double> sibling_calibration_error;
  std::vector<RiskPoint> sibling_risk;
  /// Of the parity queries for one group at batch 1, and what they cost.
  int64_t query_bytes = 0;
  double relative_cost = 0;  // as the bundle says
};

/// A code's parity models, checked against the deployed one.
struct ParityModel {
  Bundle bundle;  // of the first parity
  std::unique_ptr<const Code> code;
  std::vector<ModelRunner> runners;        // one per parity
  std::vector<bundle::Measured> measured;  // likewise

  std::vector<const ModelRunner*> Runners() const;
};

/// Their indices, ascending.
std::vector<uint32_t> ParitiesOf(const DecodePattern& pattern);

/// Where the bundle of one parity is: `directory`, or for a code with several
/// the folders 0, 1 .. in it.
std::string ParityDirectory(const std::string& directory, const CodeSpec& code,
                            int parity_index);

/// Errors: kFailedPrecondition if a bundle was made for another deployed one;
/// kInvalidArgument if it is no parity bundle, or not the one that belongs at
/// its place; else as LoadBundle and CreateCode.
absl::StatusOr<ParityModel> LoadParityModel(const DeployedModel& deployed,
                                            const std::string& directory);

/// The parity query that a frontend sends for the first k test samples.
/// Errors: kInvalidArgument if there are fewer; else as EncodeGroups.
absl::StatusOr<HostTensor> ExampleQuery(const Code& code, const Dataset& data,
                                        DataType datatype);

/// What the manifests of a code's new bundles say: accuracies, the tables from
/// margin to probability, and what one of its queries costs here.
/// Shape:  deployed_logits: [test size, classes].
/// Errors: as EvaluateErasures and MeasureRelativeCost.
absl::StatusOr<bundle::Measured> MeasureModels(
    const DeployedModel& deployed, const Code& code,
    const std::vector<const ModelRunner*>& runners, const Dataset& data,
    const HostTensor& deployed_logits);

/// What the bundle of one of them says: no tables of decodes that do without
/// it.
bundle::Measured MeasuredOfParity(const bundle::Measured& measured,
                                  int parity_index);

/// Shape:  deployed_logits: [test size, classes].
/// Errors: as ExampleQuery and EvaluateErasures.
absl::StatusOr<ParityFigures> EvaluateParity(const ParityModel& parity,
                                             const DeployedModel& deployed,
                                             const Dataset& data,
                                             const HostTensor& deployed_logits);

}  // namespace parm
