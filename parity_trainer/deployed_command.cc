#include "parity_trainer/deployed_command.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <random>
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
constexpr int64_t kNumRandomSamples = 8;
constexpr int64_t kMaxSampleBytes = int64_t{1} << 27;

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

/// Unlabelled samples for a model of which nothing but its shape is known:
/// bytes, or floats from 0 to 1.
absl::StatusOr<Dataset> RandomSamples(const DeployedOptions& options) {
  Dataset data{.datatype = options.datatype == "uint8" ? DataType::kUint8
                                                       : DataType::kFp32,
               .sample_shape = options.sample_shape,
               .labelled = false};
  const absl::StatusOr<int64_t> bytes =
      NumBytes(data.datatype, data.sample_shape);
  if (!bytes.ok() || *bytes < 1 || *bytes > kMaxSampleBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "sample shape is out of range: got ", ShapeToString(data.sample_shape),
        ", want 1 to ", kMaxSampleBytes, " bytes"));
  }
  std::mt19937 random(static_cast<uint32_t>(options.training.seed));
  data.test.labels.resize(kNumRandomSamples);
  data.test.values.resize(static_cast<size_t>(*bytes * kNumRandomSamples));
  char* const values = data.test.values.data();
  for (size_t i = 0; i < data.test.values.size();
       i += DataTypeSize(data.datatype)) {
    const auto bits = static_cast<uint32_t>(random() >> 8);
    if (data.datatype == DataType::kUint8) {
      values[i] = static_cast<char>(bits & 0xFF);
    } else {
      const float value = static_cast<float>(bits) * 0x1.0p-24F;
      std::memcpy(values + i, &value, sizeof(value));
    }
  }
  return data;
}

absl::StatusOr<Dataset> LoadSamples(const DeployedOptions& options,
                                    bool train) {
  if (options.data.source.empty() == options.sample_shape.empty()) {
    return absl::InvalidArgumentError(
        "want one of --data and --sample-shape, got both or neither");
  }
  if (!options.sample_shape.empty()) {
    if (!train) return RandomSamples(options);
    return absl::InvalidArgumentError(
        "--sample-shape goes with --model: training needs --data");
  }
  PARM_ASSIGN_OR_RETURN(Dataset data,
                        LoadDataset({.source = options.data.source,
                                     .with_train = train,
                                     .limit_train = options.data.limit_train,
                                     .limit_test = options.data.limit_test,
                                     .num_classes = options.data.num_classes}));
  if (data.labelled || !train) return data;
  return absl::InvalidArgumentError(
      absl::StrCat("training a deployed model needs labels: got ", data.source,
                   ", want idx:DIR or npy:DIR"));
}

void SetMeasured(const Dataset& data, const HostTensor& logits,
                 bundle::Measured* measured) {
  measured->set_relative_cost(1);
  measured->set_cost_machine(MachineName());
  if (data.source.empty()) return;
  measured->set_data(data.source);
  measured->set_samples(data.test.size());
  measured->set_truth(std::string(TruthOf(data)));
  measured->set_a_a(Accuracy(logits, data.test.labels));
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
                            .log_path = options.training.log,
                            .resume = options.training.resume,
                            .peers = options.training.peers};
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
  PARM_ASSIGN_OR_RETURN(Dataset data, LoadSamples(options, train));
  PARM_ASSIGN_OR_RETURN(const DataType datatype,
                        WireDatatype(options.datatype, data));
  bundle::Manifest manifest;
  TrainedModel trained;
  if (train) {
    PARM_ASSIGN_OR_RETURN(const TrainingSettings settings,
                          MakeSettings(options, data, datatype, checkpoint));
    ProgressReporter progress("deployed",
                              Leads(settings.peers) ? stderr : nullptr,
                              ::isatty(STDERR_FILENO) == 1);
    PARM_ASSIGN_OR_RETURN(trained, TrainDeployed(data, options.arch, datatype,
                                                 settings, &progress));
    if (trained.interrupted) return InterruptedError(checkpoint);
    if (!Leads(settings.peers)) return FollowerLine(*settings.peers);
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
  if (!data.labelled) data.test.labels = AnsweredClasses(logits);
  const Probes probes = MakeProbes(data, datatype, logits);

  manifest.set_model(NameOr(options.name, options.out));
  manifest.set_variant(train ? options.arch : "torchscript");
  manifest.set_version(options.version);
  manifest.set_role("deployed");
  manifest.set_preprocessing(kRawValues);
  SetTensor("input", probes.inputs, manifest.add_inputs());
  SetTensor("logits", probes.outputs, manifest.add_outputs());
  SetMeasured(data, logits, manifest.mutable_measured());
  PARM_ASSIGN_OR_RETURN(const Bundle bundle,
                        WriteModelBundle(options.out, std::move(manifest),
                                         {.model_bytes = trained.model_bytes,
                                          .history = trained.history},
                                         probes, checkpoint));
  return absl::StrFormat(
      "%s: deployed %s, %s, id %s%s", options.out, bundle.manifest.model(),
      DescribeDeployedAccuracy(bundle.manifest.measured().a_a(), data),
      ToHex(bundle.id), DescribeSpeed(bundle.manifest.training()));
}

}  // namespace parm
