#include "parity_trainer/parity_command.h"

#include <cstdio>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "encoder/code.h"
#include "parity_trainer/bundle_parts.h"
#include "parity_trainer/deployed_model.h"
#include "parity_trainer/distillation.h"
#include "parity_trainer/evaluation.h"
#include "parity_trainer/half_precision.h"
#include "parity_trainer/parity_evaluation.h"
#include "parity_trainer/parity_training.h"
#include "parity_trainer/recipe_file.h"

namespace parm {
namespace {

Recipe DefaultRecipe() {
  return {.epochs = 80,
          .minibatch = 256,
          .learning_rate = 3e-3,
          .loss = "decoded",
          .init = "deployed"};
}

/// A scheme whose parity model answers for packed members is no new function:
/// any model that answers single queries serves.
bool NeedsTraining(const ParityOptions& options) {
  return options.scheme != "pack";
}

absl::Status CheckOptions(const ParityOptions& options) {
  if (NeedsTraining(options) && !options.model_file.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--model goes with --scheme pack only, got ", options.scheme));
  }
  return absl::OkStatus();
}

/// Inputs and outputs are what a frontend computes from the deployed model's.
absl::StatusOr<bundle::Manifest> DescribeParity(const DeployedModel& deployed,
                                                const Code& code,
                                                int parity_index) {
  PARM_ASSIGN_OR_RETURN(const TensorSpec query,
                        code.ParityQuerySpec(deployed.input, code.spec().k));
  PARM_ASSIGN_OR_RETURN(const TensorSpec answer,
                        code.ParityOutputSpec(deployed.output));
  const bundle::Manifest& base = deployed.bundle.manifest;
  bundle::Manifest manifest;
  manifest.set_model(base.model());
  manifest.set_variant(base.variant());
  manifest.set_version(base.version());
  manifest.set_role("parity");
  manifest.set_preprocessing(base.preprocessing());
  SetTensor(query, manifest.add_inputs());
  SetTensor(answer, manifest.add_outputs());
  bundle::Lineage* lineage = manifest.mutable_lineage();
  lineage->set_deployed_sha256(ToHex(deployed.bundle.id));
  lineage->set_parity_index(static_cast<uint32_t>(parity_index));
  lineage->mutable_code()->set_scheme(code.spec().scheme);
  lineage->mutable_code()->set_k(static_cast<uint32_t>(code.spec().k));
  lineage->mutable_code()->set_r(static_cast<uint32_t>(code.spec().r));
  return manifest;
}

/// A parity model with how it was made.
struct MadeModel {
  std::string model_bytes;
  std::string trained_bytes;  // as ModelFiles has them
  bundle::Training recipe;
  std::vector<EpochRecord> history;  // empty: nothing was trained
};

/// One checkpoint for each parity: all are kept until all bundles are there.
std::string CheckpointOf(const std::string& checkpoint, int parity_index) {
  return parity_index == 0 ? checkpoint
                           : absl::StrCat(checkpoint, ".", parity_index);
}

absl::StatusOr<MadeModel> TrainOne(const ParityOptions& options,
                                   const DeployedModel& deployed,
                                   const Dataset& data, const Code& code,
                                   int parity_index,
                                   const std::string& checkpoint) {
  MadeModel made;
  const std::string label =
      code.spec().r == 1 ? "parity" : absl::StrCat("parity ", parity_index);
  PARM_ASSIGN_OR_RETURN(
      TrainedModel trained,
      RunDistillation({.label = label,
                       .code = &code,
                       .parity_index = parity_index,
                       .arch = options.arch,
                       .defaults = DefaultRecipe(),
                       .checkpoint = CheckpointOf(checkpoint, parity_index)},
                      options.training, deployed, data, &made.recipe));
  made.model_bytes = std::move(trained.model_bytes);
  made.history = std::move(trained.history);
  return made;
}

/// One per parity of the code.
absl::StatusOr<std::vector<MadeModel>> MakeModels(
    const ParityOptions& options, const DeployedModel& deployed,
    const Dataset& data, const Code& code, const std::string& checkpoint) {
  std::vector<MadeModel> models(static_cast<size_t>(code.spec().r));
  for (int parity = 0; parity < code.spec().r; ++parity) {
    MadeModel& made = models[static_cast<size_t>(parity)];
    if (NeedsTraining(options)) {
      PARM_ASSIGN_OR_RETURN(
          made, TrainOne(options, deployed, data, code, parity, checkpoint));
    } else if (options.model_file.empty()) {
      made = {.model_bytes = deployed.model_bytes,
              .recipe = deployed.bundle.manifest.training()};
    } else {
      PARM_ASSIGN_OR_RETURN(made.model_bytes,
                            ReadModelFile(options.model_file));
    }
    if (options.half && Leads(options.training.peers)) {
      if (NeedsTraining(options)) made.trained_bytes = made.model_bytes;
      PARM_ASSIGN_OR_RETURN(made.model_bytes,
                            WithHalfConvolutions(made.model_bytes));
    }
  }
  return models;
}

std::string Describe(const ParityOptions& options, const Code& code,
                     const Dataset& data, const bundle::Measured& measured) {
  std::string line =
      absl::StrCat(options.out, ": parity ", ToString(code.spec()), ", ",
                   DescribeDeployedAccuracy(measured.a_a(), data));
  for (const bundle::DegradedAccuracy& row : measured.a_d()) {
    absl::StrAppend(&line, absl::StrFormat(", A_d %.2f %% at %d lost",
                                           100 * row.accuracy(), row.losses()));
  }
  absl::StrAppend(&line,
                  absl::StrFormat(", cost %.2f", measured.relative_cost()));
  if (code.spec().r > 1) absl::StrAppend(&line, " for each parity");
  return line;
}

}  // namespace

absl::StatusOr<std::string> RunParityCommand(const ParityOptions& options) {
  PARM_RETURN_IF_ERROR(CheckOptions(options));
  const bool train = NeedsTraining(options);
  PARM_ASSIGN_OR_RETURN(
      const std::unique_ptr<const Code> code,
      CreateCode({.scheme = options.scheme, .k = options.k, .r = options.r}));
  PARM_ASSIGN_OR_RETURN(const std::string checkpoint,
                        CheckOutput(options.out, train, options.training,
                                    /*num_bundles=*/options.r));
  PARM_ASSIGN_OR_RETURN(const DeployedModel deployed,
                        LoadDeployedModel(options.deployed));
  // What the code cannot encode shows before there is any work.
  PARM_RETURN_IF_ERROR(DescribeParity(deployed, *code, 0).status());
  PARM_ASSIGN_OR_RETURN(const Dataset data,
                        LoadDataFor(deployed, options.data, train));
  if (data.test.size() < options.k ||
      (train && data.train.size() < options.k)) {
    return absl::InvalidArgumentError(
        absl::StrCat("data set is smaller than a group: got ",
                     data.train.size(), " training and ", data.test.size(),
                     " test samples, want at least k = ", options.k));
  }
  PARM_ASSIGN_OR_RETURN(const std::vector<MadeModel> models,
                        MakeModels(options, deployed, data, *code, checkpoint));
  if (!Leads(options.training.peers)) {
    return FollowerLine(*options.training.peers);
  }
  std::vector<ModelRunner> runners;
  for (const MadeModel& made : models) {
    PARM_ASSIGN_OR_RETURN(ModelRunner runner,
                          ModelRunner::Create(made.model_bytes));
    runners.push_back(std::move(runner));
  }
  std::vector<const ModelRunner*> parities;
  for (const ModelRunner& runner : runners) parities.push_back(&runner);
  PARM_ASSIGN_OR_RETURN(
      const HostTensor logits,
      deployed.runner.RunAll(data, data.test, deployed.input.datatype));
  PARM_ASSIGN_OR_RETURN(const bundle::Measured measured,
                        MeasureModels(deployed, *code, parities, data, logits));
  const Probes probes = MakeProbes(data, deployed.input.datatype, logits);
  std::vector<BundleContents> bundles;
  for (int parity = 0; parity < options.r; ++parity) {
    PARM_ASSIGN_OR_RETURN(bundle::Manifest manifest,
                          DescribeParity(deployed, *code, parity));
    const MadeModel& made = models[static_cast<size_t>(parity)];
    *manifest.mutable_training() = made.recipe;
    *manifest.mutable_measured() = MeasuredOfParity(measured, parity);
    bundles.push_back(ModelBundle(std::move(manifest),
                                  {.model_bytes = made.model_bytes,
                                   .trained_bytes = made.trained_bytes,
                                   .history = made.history},
                                  probes));
  }
  PARM_RETURN_IF_ERROR(WriteBundles(options.out, bundles));
  for (int parity = 0; train && parity < options.r; ++parity) {
    std::remove(CheckpointOf(checkpoint, parity).c_str());
  }
  return absl::StrCat(Describe(options, *code, data, measured),
                      train ? DescribeSpeed(models[0].recipe) : "");
}

}  // namespace parm
