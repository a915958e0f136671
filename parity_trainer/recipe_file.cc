#include "parity_trainer/recipe_file.h"

#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "proto/strict_yaml.h"

namespace parm {
namespace {

void Apply(const bundle::Training& file, Recipe* recipe) {
  if (file.epochs() != 0) recipe->epochs = file.epochs();
  if (file.minibatch() != 0) recipe->minibatch = file.minibatch();
  if (file.learning_rate() != 0) recipe->learning_rate = file.learning_rate();
  if (!file.optimizer().empty()) recipe->optimizer = file.optimizer();
  if (file.has_weight_decay()) recipe->weight_decay = file.weight_decay();
  if (!file.precision().empty()) recipe->precision = file.precision();
  if (!file.loss().empty()) recipe->loss = file.loss();
  if (!file.init().empty()) recipe->init = file.init();
  if (file.has_label_share()) recipe->label_share = file.label_share();
  if (file.has_label_smoothing()) {
    recipe->label_smoothing = file.label_smoothing();
  }
  if (file.has_shift()) recipe->augmentation.shift = file.shift();
  if (file.has_mirror()) recipe->augmentation.mirror = file.mirror();
  if (file.has_fresh_answers()) recipe->fresh_answers = file.fresh_answers();
  if (file.has_keep_resolution()) {
    recipe->keep_resolution = file.keep_resolution();
  }
  if (file.has_validation()) recipe->validation = file.validation();
  if (file.has_patience()) recipe->patience = file.patience();
}

}  // namespace

absl::StatusOr<Recipe> ChooseRecipe(Recipe recipe,
                                    const TrainingOptions& options) {
  if (!options.recipe.empty()) {
    bundle::Training file;
    PARM_RETURN_IF_ERROR(LoadStrictYaml(options.recipe, &file));
    Apply(file, &recipe);
  }
  if (options.epochs > 0) recipe.epochs = options.epochs;
  if (options.minibatch > 0) recipe.minibatch = options.minibatch;
  if (options.learning_rate > 0) recipe.learning_rate = options.learning_rate;
  if (!options.loss.empty()) recipe.loss = options.loss;
  if (!options.init.empty()) recipe.init = options.init;
  PARM_RETURN_IF_ERROR(CheckRecipe(recipe));
  return recipe;
}

bundle::Training DescribeTraining(const std::string& architecture,
                                  const TrainingSettings& settings,
                                  const TrainedModel& trained) {
  const Recipe& recipe = settings.recipe;
  bundle::Training training;
  training.set_arch(architecture);
  training.set_seed(settings.seed);
  training.set_epochs(recipe.epochs);
  training.set_learning_rate(recipe.learning_rate);
  training.set_minibatch(recipe.minibatch);
  training.set_loss(recipe.loss);
  training.set_init(trained.init);
  training.set_seconds(trained.seconds);
  training.set_optimizer(recipe.optimizer);
  training.set_weight_decay(recipe.weight_decay);
  training.set_label_share(recipe.label_share);
  training.set_label_smoothing(recipe.label_smoothing);
  training.set_shift(static_cast<uint32_t>(recipe.augmentation.shift));
  training.set_mirror(recipe.augmentation.mirror);
  training.set_fresh_answers(recipe.fresh_answers);
  training.set_keep_resolution(recipe.keep_resolution);
  training.set_validation(recipe.validation);
  training.set_patience(static_cast<uint32_t>(recipe.patience));
  training.set_precision(recipe.precision);
  training.set_best_epoch(trained.best_epoch);
  training.set_validation_accuracy(trained.validation_accuracy);
  training.set_processes(static_cast<uint32_t>(trained.processes));
  training.set_samples_per_second(trained.samples_per_second);
  return training;
}

std::string DescribeSpeed(const bundle::Training& training) {
  if (training.samples_per_second() <= 0) return "";
  return absl::StrFormat(", trained on %.0f samples/s in %d process%s",
                         training.samples_per_second(), training.processes(),
                         training.processes() == 1 ? "" : "es");
}

}  // namespace parm
