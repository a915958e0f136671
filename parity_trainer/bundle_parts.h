#pragma once

// The parts that the manifests of deployed and parity bundles have in common,
// and the last step of either command: the bundle appears, whole.

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "parity_trainer/command_options.h"
#include "parity_trainer/dataset.h"
#include "parity_trainer/evaluation.h"
#include "parity_trainer/host_tensor.h"
#include "parity_trainer/learning_curve.h"
#include "proto/bundle.h"

namespace parm {

/// Input or output of a manifest.
void SetTensor(const TensorSpec& spec, bundle::Tensor* tensor);

/// Likewise from an example; dimension 0 becomes -1, the batch.
void SetTensor(const std::string& name, const HostTensor& example,
               bundle::Tensor* tensor);

/// Probe files for a bundle: the first test samples (eight, where there are as
/// many) and the deployed model's outputs for them.
struct Probes {
  HostTensor inputs;
  HostTensor outputs;
};
/// Shape:  deployed_logits: [test size, classes].
Probes MakeProbes(const Dataset& data, DataType wire_datatype,
                  const HostTensor& deployed_logits);

/// What a manifest says of preprocessing: wire tensors hold the data's values
/// as they are, pixels 0 to 255 for instance, and the model file does the rest.
inline constexpr char kRawValues[] = "none: values as in the data";

/// Beside the model of a bundle made with --half, where one was trained: the
/// network as it was trained, for later trainings to start from. Nobody serves
/// it.
inline constexpr char kTrainedFile[] = "trained.pt";

/// What a bundle's model is, and how it came to be.
struct ModelFiles {
  absl::string_view model_bytes;
  absl::string_view trained_bytes;  // of kTrainedFile; empty: the model is it
  absl::Span<const EpochRecord> history;  // empty: nothing was trained
};

/// A bundle of model, probes and, where it was trained, its history as
/// training.jsonl and training.svg. Fills in the manifest's names of files.
BundleContents ModelBundle(bundle::Manifest manifest, const ModelFiles& model,
                           const Probes& probes);

/// Writes that bundle; then removes the checkpoint that led to it, if any.
/// Errors: as WriteBundle.
absl::StatusOr<Bundle> WriteModelBundle(const std::string& directory,
                                        bundle::Manifest manifest,
                                        const ModelFiles& model,
                                        const Probes& probes,
                                        const std::string& checkpoint_path);

/// Checks, before any work is done, that so many bundles may appear at
/// `directory`, and says where the checkpoint goes: what the user named, or
/// "DIRECTORY.checkpoint"; empty if nothing is trained, or rank 0 does all
/// that. Errors: kInvalidArgument for an empty or root directory, and as
/// CheckReplaceable; kAlreadyExists if something is there, or work of an
/// earlier run that was not asked to be resumed, unless `options.force`.
absl::StatusOr<std::string> CheckOutput(const std::string& directory,
                                        bool trains,
                                        const TrainingOptions& options,
                                        int num_bundles = 1);

/// Fills `name` with the last component of a path if it is empty.
std::string NameOr(const std::string& name, const std::string& directory);

}  // namespace parm
