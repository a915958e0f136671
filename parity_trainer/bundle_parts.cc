#include "parity_trainer/bundle_parts.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <numeric>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "parity_trainer/group_encoder.h"
#include "parity_trainer/npy.h"
#include "parity_trainer/training_settings.h"

namespace parm {
namespace {

constexpr int64_t kNumProbes = 8;
constexpr char kModelFile[] = "model.pt";
constexpr char kHistory[] = "training.jsonl";
constexpr char kCurve[] = "training.svg";
constexpr char kProbeInputs[] = "probe_inputs.npy";
constexpr char kProbeOutputs[] = "probe_outputs.npy";

/// Without a slash at the end.
std::filesystem::path Trimmed(const std::string& directory) {
  std::filesystem::path path = std::filesystem::path(directory);
  return path.has_filename() ? path : path.parent_path();
}

}  // namespace

void SetTensor(const TensorSpec& spec, bundle::Tensor* tensor) {
  tensor->set_name(spec.name);
  tensor->set_datatype(std::string(DataTypeName(spec.datatype)));
  for (const int64_t dimension : spec.shape) tensor->add_shape(dimension);
}

void SetTensor(const std::string& name, const HostTensor& example,
               bundle::Tensor* tensor) {
  TensorSpec spec = {
      .name = name, .datatype = example.datatype, .shape = example.shape};
  spec.shape.at(0) = -1;
  SetTensor(spec, tensor);
}

Probes MakeProbes(const Dataset& data, DataType wire_datatype,
                  const HostTensor& deployed_logits) {
  const int64_t count = std::min(kNumProbes, data.test.size());
  std::vector<int64_t> first(static_cast<size_t>(count));
  std::iota(first.begin(), first.end(), int64_t{0});
  return {.inputs = GatherSamples(data, data.test, first, wire_datatype),
          .outputs = SliceRows(deployed_logits, 0, count)};
}

BundleContents ModelBundle(bundle::Manifest manifest, const ModelFiles& model,
                           const Probes& probes) {
  manifest.set_file(kModelFile);
  manifest.mutable_probes()->set_inputs_npy(kProbeInputs);
  manifest.mutable_probes()->set_outputs_npy(kProbeOutputs);
  std::vector<BundleFile> files = {
      {kModelFile, std::string(model.model_bytes)},
      {kProbeInputs, SerializeNpy(probes.inputs)},
      {kProbeOutputs, SerializeNpy(probes.outputs)}};
  if (!model.trained_bytes.empty()) {
    files.push_back({kTrainedFile, std::string(model.trained_bytes)});
  }
  if (!model.history.empty()) {
    files.push_back({kHistory, ToJsonLines(model.history)});
    files.push_back({kCurve, DrawLearningCurve(model.history)});
  }
  return {.manifest = std::move(manifest), .files = std::move(files)};
}

absl::StatusOr<Bundle> WriteModelBundle(const std::string& directory,
                                        bundle::Manifest manifest,
                                        const ModelFiles& model,
                                        const Probes& probes,
                                        const std::string& checkpoint_path) {
  BundleContents contents = ModelBundle(std::move(manifest), model, probes);
  PARM_ASSIGN_OR_RETURN(
      Bundle bundle, WriteBundle(Trimmed(directory).string(),
                                 std::move(contents.manifest), contents.files));
  if (!checkpoint_path.empty()) std::remove(checkpoint_path.c_str());
  return bundle;
}

absl::StatusOr<std::string> CheckOutput(const std::string& directory,
                                        bool trains,
                                        const TrainingOptions& options,
                                        int num_bundles) {
  const std::filesystem::path path = Trimmed(directory);
  if (!path.has_filename()) {
    return absl::InvalidArgumentError(
        absl::StrCat("output is no directory name: got \"", directory, "\""));
  }
  if (!Leads(options.peers)) return "";
  // What cannot be looked at is reported, with its reason, by the first write.
  std::error_code ignored;
  if (!options.force && std::filesystem::exists(path, ignored)) {
    return absl::AlreadyExistsError(
        absl::StrCat("output is there already: ", path.string(),
                     "; name another --out, or --force to replace it"));
  }
  PARM_RETURN_IF_ERROR(CheckReplaceable(path, num_bundles));
  if (!trains) return "";
  std::string checkpoint = options.checkpoint.empty()
                               ? path.string() + ".checkpoint"
                               : options.checkpoint;
  if (!options.force && !options.resume &&
      std::filesystem::exists(checkpoint, ignored)) {
    return absl::AlreadyExistsError(absl::StrCat(
        "checkpoint of an earlier run is there: ", checkpoint,
        "; --resume goes on from it, --force begins anew and overwrites it"));
  }
  return checkpoint;
}

std::string NameOr(const std::string& name, const std::string& directory) {
  return name.empty() ? Trimmed(directory).filename().string() : name;
}

}  // namespace parm
