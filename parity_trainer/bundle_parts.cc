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

namespace parm {
namespace {

constexpr int64_t kNumProbes = 8;
constexpr char kModelFile[] = "model.pt";
constexpr char kProbeInputs[] = "probe_inputs.npy";
constexpr char kProbeOutputs[] = "probe_outputs.npy";

/// Without a slash at the end.
std::filesystem::path Trimmed(const std::string& directory) {
  std::filesystem::path path = std::filesystem::path(directory);
  return path.has_filename() ? path : path.parent_path();
}

}  // namespace

void SetTensor(const std::string& name, const HostTensor& example,
               bundle::Tensor* tensor) {
  tensor->set_name(name);
  tensor->set_datatype(std::string(DataTypeName(example.datatype)));
  for (size_t i = 0; i < example.shape.size(); ++i) {
    tensor->add_shape(i == 0 ? -1 : example.shape[i]);
  }
}

Probes MakeProbes(const Dataset& data, DataType wire_datatype,
                  const HostTensor& deployed_logits) {
  const int64_t count = std::min(kNumProbes, data.test.size());
  std::vector<int64_t> first(static_cast<size_t>(count));
  std::iota(first.begin(), first.end(), int64_t{0});
  return {.inputs = GatherSamples(data, data.test, first, wire_datatype),
          .outputs = SliceRows(deployed_logits, 0, count)};
}

void SetTraining(const std::string& architecture,
                 const TrainingSettings& settings, const TrainedModel& trained,
                 const std::string& loss, bundle::Training* training) {
  training->set_arch(architecture);
  training->set_seed(settings.seed);
  training->set_epochs(settings.epochs);
  training->set_learning_rate(settings.learning_rate);
  training->set_minibatch(settings.minibatch);
  training->set_loss(loss);
  training->set_init(trained.init);
  training->set_seconds(trained.seconds);
}

absl::StatusOr<Bundle> WriteModelBundle(const std::string& directory,
                                        bundle::Manifest manifest,
                                        const std::string& model_bytes,
                                        const Probes& probes,
                                        const std::string& checkpoint_path) {
  manifest.set_file(kModelFile);
  manifest.mutable_probes()->set_inputs_npy(kProbeInputs);
  manifest.mutable_probes()->set_outputs_npy(kProbeOutputs);
  PARM_ASSIGN_OR_RETURN(
      Bundle bundle,
      WriteBundle(Trimmed(directory).string(), std::move(manifest),
                  {{kModelFile, model_bytes},
                   {kProbeInputs, SerializeNpy(probes.inputs)},
                   {kProbeOutputs, SerializeNpy(probes.outputs)}}));
  if (!checkpoint_path.empty()) std::remove(checkpoint_path.c_str());
  return bundle;
}

absl::StatusOr<std::string> CheckOutput(const std::string& directory,
                                        bool trains,
                                        const TrainingOptions& options) {
  const std::filesystem::path path = Trimmed(directory);
  if (!path.has_filename()) {
    return absl::InvalidArgumentError(
        absl::StrCat("output is no directory name: got \"", directory, "\""));
  }
  // What cannot be looked at is reported, with its reason, by the first write.
  std::error_code ignored;
  if (!options.force && std::filesystem::exists(path, ignored)) {
    return absl::AlreadyExistsError(
        absl::StrCat("output is there already: ", path.string(),
                     "; name another --out, or --force to replace it"));
  }
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
