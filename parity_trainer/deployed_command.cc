#include "parity_trainer/deployed_command.h"

#include <unistd.h>

#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "parity_trainer/bundle_parts.h"
#include "parity_trainer/dataset.h"
#include "parity_trainer/deployed_model.h"
#include "parity_trainer/deployed_training.h"
#include "parity_trainer/evaluation.h"
#include "parity_trainer/model_runner.h"
#include "parity_trainer/recipe_file.h"
#include "proto/machine_name.h"

namespace parm {
namespace {

constexpr char kCrossEntropy[] = "cross-entropy";

Recipe DefaultRecipe() {
  return {.epochs = 12,
          .minibatch = 128,
          .learning_rate = 1e-3,
          .loss = kCrossEntropy,
          .init = "scratch"};
}

absl::StatusOr<DataType> WireDatatype(const std::string& name,
                                      const Dataset& data) {
  if (name == "fp32") return DataType::kFp32;
  if (name != "uint8") {
    return absl::InvalidArgumentError(absl::StrCat(
        "unknown datatype: got \"", name, "\", want fp32 or uint8"));
  }
  if (data.datatype != DataType::kUint8) {
    return absl::InvalidArgumentError(
        "datatype does not fit the data: they are FP32 and cannot be sent as "
        "uint8");
  }
  return DataType::kUint8;
}

/// Errors: kInvalidArgument if a label lies beyond the model's outputs.
absl::Status CheckClasses(const Dataset& data, const HostTensor& logits) {
  if (data.num_classes <= logits.shape[1]) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("label out of range: the data have ", data.num_classes,
                   " classes, the model answers ", logits.shape[1]));
}

/// What is learned and from what: labels, from random weights.
absl::StatusOr<TrainingSettings> MakeSettings(const DeployedOptions& options,
                                              const Dataset& data,
                                              DataType datatype,
                                              const std::string& checkpoint) {
  TrainingSettings settings{.seed = options.training.seed,
                            .checkpoint_path = checkpoint,
                            .resume = options.training.resume};
  PARM_ASSIGN_OR_RETURN(settings.recipe,
                        ChooseRecipe(DefaultRecipe(), options.training));
  settings.recipe.loss = kCrossEntropy;
  settings.recipe.init = "scratch";
  settings.fingerprint = absl::StrCat(
      "deployed arch=", options.arch, " data=", data.source,
      " samples=", data.train.size(), " classes=", data.num_classes,
      " datatype=", DataTypeName(datatype), " seed=", settings.seed, " ",
      Describe(settings.recipe));
  return settings;
}

}  // namespace

absl::StatusOr<std::string> RunDeployedCommand(const DeployedOptions& options) {
  const bool train = options.model_file.empty();
  PARM_ASSIGN_OR_RETURN(const std::string checkpoint,
                        CheckOutput(options.out, train, options.training));
  PARM_ASSIGN_OR_RETURN(const Dataset data,
                        LoadDataset({.source = options.data.source,
                                     .with_train = train,
                                     .limit_train = options.data.limit_train,
                                     .limit_test = options.data.limit_test,
                                     .num_classes = options.data.num_classes}));
  PARM_ASSIGN_OR_RETURN(const DataType datatype,
                        WireDatatype(options.datatype, data));
  bundle::Manifest manifest;
  TrainedModel trained;
  if (train) {
    PARM_ASSIGN_OR_RETURN(const TrainingSettings settings,
                          MakeSettings(options, data, datatype, checkpoint));
    ProgressReporter progress("deployed", stderr, ::isatty(STDERR_FILENO) == 1);
    PARM_ASSIGN_OR_RETURN(trained, TrainDeployed(data, options.arch, datatype,
                                                 settings, &progress));
    if (trained.interrupted) return InterruptedError(checkpoint);
    *manifest.mutable_training() =
        DescribeTraining(options.arch, settings, trained);
  } else {
    PARM_ASSIGN_OR_RETURN(trained.model_bytes,
                          ReadModelFile(options.model_file));
  }
  PARM_ASSIGN_OR_RETURN(const ModelRunner runner,
                        ModelRunner::Create(trained.model_bytes));
  PARM_ASSIGN_OR_RETURN(const HostTensor logits,
                        runner.RunAll(data, data.test, datatype));
  PARM_RETURN_IF_ERROR(CheckClasses(data, logits));
  const Probes probes = MakeProbes(data, datatype, logits);

  manifest.set_model(NameOr(options.name, options.out));
  manifest.set_variant(train ? options.arch : "torchscript");
  manifest.set_version(options.version);
  manifest.set_role("deployed");
  manifest.set_preprocessing(kRawValues);
  SetTensor("input", probes.inputs, manifest.add_inputs());
  SetTensor("logits", probes.outputs, manifest.add_outputs());
  bundle::Measured* measured = manifest.mutable_measured();
  measured->set_data(data.source);
  measured->set_samples(data.test.size());
  measured->set_a_a(Accuracy(logits, data.test.labels));
  measured->set_relative_cost(1);
  measured->set_cost_machine(MachineName());
  PARM_ASSIGN_OR_RETURN(
      const Bundle bundle,
      WriteModelBundle(options.out, std::move(manifest), trained.model_bytes,
                       probes, checkpoint));
  return absl::StrFormat("%s: deployed %s, A_a %.2f %% of %d, id %s",
                         options.out, bundle.manifest.model(),
                         100 * bundle.manifest.measured().a_a(),
                         data.test.size(), ToHex(bundle.id));
}

}  // namespace parm
