#pragma once

// What a model server's model is to us: its metadata as a bundle of a Hello,
// and, if the operator says which of our bundles it is, the proof: the bundle's
// probe inputs must give the bundle's outputs. So lineage holds although nobody
// sees the server's files.

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "frontend/upstream/oip/oip_options.h"
#include "proto/envelope.pb.h"
#include "proto/oip/messages.h"

namespace parm {

/// A bundle on our disk, with its probes.
struct KnownBundle {
  wire::BundleInfo info;
  /// [n, ...] each, FP32 outputs; n is 0 if the bundle has none.
  oip::Tensor probe_inputs;
  oip::Tensor probe_outputs;
  int64_t num_probes = 0;
};

/// Errors: as LoadBundle; kInvalidArgument for probes that are not the model's.
absl::StatusOr<std::shared_ptr<const KnownBundle>> LoadKnownBundle(
    const std::string& directory);

/// The version that a server serves unless asked for another; empty if it does
/// not say.
std::string ServedVersion(const OipServedModel& model,
                          const oip::ModelMetadata& metadata);

/// A model that nothing is known of but its metadata: equal on servers that
/// say the same, so that they are copies of each other.
/// Errors: kFailedPrecondition if the metadata names no inputs or outputs.
absl::StatusOr<wire::BundleInfo> DescribeModel(
    const OipServedModel& model, const oip::ModelMetadata& metadata);

/// A model that is said to be `known`. Names are the server's, as its clients
/// know them.
/// Errors: kInvalidArgument, in a sentence, if datatypes, shapes or their
/// number differ: then it is another model, or wants its input prepared in
/// another way.
absl::StatusOr<wire::BundleInfo> DescribeKnownModel(
    const OipServedModel& model, const oip::ModelMetadata& metadata,
    const KnownBundle& known);

/// Probe `index` as the request for one sample. `input_name`: the server's.
oip::InferRequest ProbeRequest(const KnownBundle& known, int64_t index,
                               const std::string& input_name);

/// Whether outputs are the bundle's for probe `index`, up to what arithmetic of
/// another backend may differ: 1 % of the range of all probe outputs.
/// Errors: kFailedPrecondition with the first difference.
absl::Status CheckProbe(const KnownBundle& known, int64_t index,
                        const std::vector<oip::Tensor>& outputs);

}  // namespace parm
