#include "parity_trainer/distillation.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "parity_trainer/architectures/architecture.h"
#include "parity_trainer/bundle_parts.h"
#include "parity_trainer/parity_training.h"
#include "parity_trainer/progress.h"
#include "parity_trainer/recipe_file.h"

namespace parm {
namespace {

bool IsOurs(const std::string& architecture) {
  const std::vector<std::string> known = ArchitectureNames();
  return std::find(known.begin(), known.end(), architecture) != known.end();
}

/// The architecture asked for, or that of the deployed bundle if it is ours.
absl::StatusOr<std::string> ChooseArchitecture(const std::string& asked,
                                               const DeployedModel& deployed) {
  const std::string& name =
      asked.empty() ? deployed.bundle.manifest.training().arch() : asked;
  if (IsOurs(name)) return name;
  return absl::InvalidArgumentError(
      absl::StrCat("architecture of the network to train is not known: got \"",
                   name, "\", want --arch with one of ",
                   absl::StrJoin(ArchitectureNames(), ", ")));
}

/// What training starts from.
struct Start {
  std::string model_bytes;  // empty: random weights
  std::string bundle_id;    // of a bundle that the recipe names, else empty
};

absl::StatusOr<Start> ChooseStart(const Recipe& recipe,
                                  const DeployedModel& deployed) {
  if (recipe.init == "scratch") return Start();
  if (recipe.init == "deployed") {
    return Start{.model_bytes = deployed.model_bytes};
  }
  const absl::StatusOr<Bundle> bundle = LoadBundle(recipe.init);
  if (!bundle.ok()) {
    return absl::Status(
        bundle.status().code(),
        absl::StrCat("init is ", recipe.init,
                     ", want deployed, scratch, or a bundle's directory: ",
                     bundle.status().message()));
  }
  const std::string trained =
      absl::StrCat(bundle->directory, "/", kTrainedFile);
  std::error_code ignored;
  PARM_ASSIGN_OR_RETURN(std::string model_bytes,
                        ReadModelFile(std::filesystem::exists(trained, ignored)
                                          ? trained
                                          : bundle->model_path));
  return Start{.model_bytes = std::move(model_bytes),
               .bundle_id = ToHex(bundle->id)};
}

absl::StatusOr<TrainingSettings> MakeSettings(const DistillationJob& job,
                                              const TrainingOptions& options,
                                              const DeployedModel& deployed,
                                              const Dataset& data,
                                              const std::string& architecture,
                                              Start* start) {
  TrainingSettings settings{.seed = options.seed,
                            .checkpoint_path = job.checkpoint,
                            .log_path = options.log,
                            .resume = options.resume,
                            .peers = options.peers};
  PARM_ASSIGN_OR_RETURN(settings.recipe, ChooseRecipe(job.defaults, options));
  // Weights of another width fit nowhere.
  if (job.width != 1) settings.recipe.init = "scratch";
  PARM_ASSIGN_OR_RETURN(*start, ChooseStart(settings.recipe, deployed));
  settings.fingerprint = absl::StrCat(
      job.label, " ", ToString(job.code->spec()), " arch=", architecture,
      " width=", job.width, " deployed=", ToHex(deployed.bundle.id),
      " data=", data.source, " samples=", data.train.size(),
      " seed=", settings.seed, " ", Describe(settings.recipe));
  if (!start->bundle_id.empty()) {
    absl::StrAppend(&settings.fingerprint, " start=", start->bundle_id);
  }
  return settings;
}

}  // namespace

absl::StatusOr<TrainedModel> RunDistillation(const DistillationJob& job,
                                             const TrainingOptions& options,
                                             const DeployedModel& deployed,
                                             const Dataset& data,
                                             bundle::Training* training) {
  PARM_ASSIGN_OR_RETURN(const std::string architecture,
                        ChooseArchitecture(job.arch, deployed));
  Start start;
  PARM_ASSIGN_OR_RETURN(
      const TrainingSettings settings,
      MakeSettings(job, options, deployed, data, architecture, &start));
  PARM_ASSIGN_OR_RETURN(
      const HostTensor logits,
      deployed.runner.RunAll(data, data.train, deployed.input.datatype));
  const ParityTrainingInput input{
      .code = job.code,
      .parity_index = job.parity_index,
      .data = &data,
      .wire_datatype = deployed.input.datatype,
      .deployed_logits = &logits,
      .deployed_model = deployed.model_bytes,
      .deployed_is_ours = IsOurs(deployed.bundle.manifest.training().arch()),
      .start_model = std::move(start.model_bytes),
      .architecture = architecture,
      .width = job.width};
  ProgressReporter progress(job.label, Leads(settings.peers) ? stderr : nullptr,
                            ::isatty(STDERR_FILENO) == 1);
  PARM_ASSIGN_OR_RETURN(TrainedModel trained,
                        TrainParity(input, settings, &progress));
  if (trained.interrupted) return InterruptedError(job.checkpoint);
  *training = DescribeTraining(architecture, settings, trained);
  if (job.width != 1) training->set_width(job.width);
  return trained;
}

}  // namespace parm
