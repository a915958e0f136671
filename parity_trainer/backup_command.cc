#include "parity_trainer/backup_command.h"

#include <cmath>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "encoder/code.h"
#include "parity_trainer/bundle_parts.h"
#include "parity_trainer/deployed_model.h"
#include "parity_trainer/distillation.h"
#include "parity_trainer/evaluation.h"
#include "parity_trainer/parity_evaluation.h"
#include "parity_trainer/recipe_file.h"

namespace parm {
namespace {

Recipe DefaultRecipe() {
  return {.epochs = 20,
          .minibatch = 128,
          .learning_rate = 3e-3,
          .loss = "decoded",
          .init = "scratch"};
}

}  // namespace

absl::StatusOr<std::string> RunBackupCommand(const BackupOptions& options) {
  if (!(options.work_fraction > 0 && options.work_fraction <= 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("work fraction is out of range: got ",
                     options.work_fraction, ", want above 0 and at most 1"));
  }
  PARM_ASSIGN_OR_RETURN(
      const std::string checkpoint,
      CheckOutput(options.out, /*trains=*/true, options.training));
  // Packed alone, a query is itself.
  PARM_ASSIGN_OR_RETURN(const std::unique_ptr<const Code> code,
                        CreateCode({.scheme = "pack", .k = 1, .r = 1}));
  PARM_ASSIGN_OR_RETURN(const DeployedModel deployed,
                        LoadDeployedModel(options.deployed));
  PARM_ASSIGN_OR_RETURN(const Dataset data, LoadDataFor(deployed, options.data,
                                                        /*with_train=*/true));
  bundle::Manifest manifest;
  PARM_ASSIGN_OR_RETURN(
      const TrainedModel trained,
      RunDistillation({.label = "backup",
                       .code = code.get(),
                       .arch = options.arch,
                       // Work goes with the square of the channels.
                       .width = std::sqrt(options.work_fraction),
                       .defaults = DefaultRecipe(),
                       .checkpoint = checkpoint},
                      options.training, deployed, data,
                      manifest.mutable_training()));
  if (!Leads(options.training.peers)) {
    return FollowerLine(*options.training.peers);
  }
  PARM_ASSIGN_OR_RETURN(const ModelRunner runner,
                        ModelRunner::Create(trained.model_bytes));
  PARM_ASSIGN_OR_RETURN(
      const HostTensor logits,
      deployed.runner.RunAll(data, data.test, deployed.input.datatype));
  const bundle::Manifest& base = deployed.bundle.manifest;
  manifest.set_model(base.model());
  manifest.set_variant(
      absl::StrCat(base.variant(), "-", options.work_fraction));
  manifest.set_version(base.version());
  manifest.set_role("backup");
  manifest.set_preprocessing(base.preprocessing());
  SetTensor(deployed.input, manifest.add_inputs());
  SetTensor(deployed.output, manifest.add_outputs());
  PARM_ASSIGN_OR_RETURN(
      *manifest.mutable_measured(),
      MeasureModels(deployed, *code, {&runner}, data, logits));
  PARM_ASSIGN_OR_RETURN(
      const Bundle bundle,
      WriteModelBundle(
          options.out, std::move(manifest),
          {.model_bytes = trained.model_bytes, .history = trained.history},
          MakeProbes(data, deployed.input.datatype, logits), checkpoint));
  const bundle::Measured& measured = bundle.manifest.measured();
  return absl::StrFormat(
      "%s: backup of %s, %s, right in its place %.2f %%, cost %.2f%s",
      options.out, base.model(), DescribeDeployedAccuracy(measured.a_a(), data),
      100 * measured.a_d(0).accuracy(), measured.relative_cost(),
      DescribeSpeed(bundle.manifest.training()));
}

}  // namespace parm
