#pragma once

// How good answers are: of the deployed model (A_a), and of reconstructions
// when members of coding groups are lost (A_d). Counts every erasure pattern of
// the groups that it makes of the test set, not a sample of them.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "encoder/code.h"
#include "encoder/confidence.h"
#include "parity_trainer/calibration.h"
#include "parity_trainer/dataset.h"
#include "parity_trainer/host_tensor.h"
#include "parity_trainer/model_runner.h"

namespace parm {

/// Share of rows of [N, classes] whose greatest value is at the label.
/// Needs: one label per row, at least one row.
double Accuracy(const HostTensor& logits, const std::vector<int32_t>& labels);

/// The position of each row's greatest value: labels for samples that have
/// none, so that "right" means "as the deployed model answers".
std::vector<int32_t> AnsweredClasses(const HostTensor& logits);

/// What accuracies on the data are measured against, as manifests and reports
/// name it: "labels", or the answers of the "deployed" model.
absl::string_view TruthOf(const Dataset& data);

/// "A_a 89.52 % of 10000", or that it is not known without labels.
std::string DescribeDeployedAccuracy(double a_a, const Dataset& data);

struct DegradedAccuracy {
  int losses = 0;       // members lost at once in a group
  double accuracy = 0;  // fraction, of the reconstructions against the labels
  int64_t samples = 0;  // reconstructions counted
  /// Of the accuracy, from how far blocks of the test set lie apart that share
  /// no sample: neither the reconstructions of one sample nor those of one
  /// group are independent. 0.5 where there is one group, and so one block;
  /// of some 64 groups and less, from too few blocks to be more than rough.
  double standard_error = 0;
};

/// The reconstructions of one pattern of a full group.
struct PatternResult {
  DecodePattern pattern;
  DegradedAccuracy a_d;
  std::vector<JudgedDecode> decodes;
};

struct ErasureResult {
  int groupings = 0;   // ways in which the set was put into groups
  int64_t groups = 0;  // of each
  /// Test samples in the last group when the size is no multiple of k. Members
  /// of another fill it up, which are not counted as lost in it: each sample is
  /// lost equally often.
  int64_t leftover = 0;
  std::vector<DegradedAccuracy> a_d;  // ascending number of losses
  /// At one loss, each sample once per grouping.
  std::vector<JudgedDecode> decodes;
  /// Every other pattern: more losses, or parities missing. None where there is
  /// one parity.
  std::vector<PatternResult> patterns;
};

/// The decodes of even groups, to fit confidence on, or of odd ones, to judge
/// it on.
std::vector<JudgedDecode> HalfOf(absl::Span<const JudgedDecode> decodes,
                                 bool odd);

/// Several groupings of the test set, or one for a code that does not mix
/// members; every pattern of as many losses as the code covers with all
/// parities there, and with each set of parities that suffices.
/// Shape:  deployed_logits: [test size, classes].
/// Needs:  data.test.size() >= k; one parity model per parity of the code.
/// Errors: as EncodeGroups, ModelRunner::Run and Code::Decode.
absl::StatusOr<ErasureResult> EvaluateErasures(
    const Code& code, const std::vector<const ModelRunner*>& parity_models,
    const Dataset& data, DataType wire_datatype,
    const HostTensor& deployed_logits);

}  // namespace parm
