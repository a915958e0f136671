#include "parity_trainer/recipe.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace parm {
namespace {

constexpr int64_t kDefaultHeldOut = 5000;
constexpr int64_t kDefaultHeldOutPart = 20;

absl::Status OutOfRange(absl::string_view key, absl::string_view got,
                        absl::string_view want) {
  return absl::InvalidArgumentError(absl::StrCat(
      "recipe is out of range: ", key, " is ", got, ", want ", want));
}

}  // namespace

std::string Describe(const Recipe& recipe) {
  return absl::StrCat(
      "epochs=", recipe.epochs, " minibatch=", recipe.minibatch,
      " learning_rate=", recipe.learning_rate, " optimizer=", recipe.optimizer,
      " weight_decay=", recipe.weight_decay, " precision=", recipe.precision,
      " loss=", recipe.loss, " init=", recipe.init,
      " label_share=", recipe.label_share,
      " label_smoothing=", recipe.label_smoothing,
      " shift=", recipe.augmentation.shift,
      " mirror=", recipe.augmentation.mirror ? 1 : 0,
      " fresh_answers=", recipe.fresh_answers ? 1 : 0,
      " keep_resolution=", recipe.keep_resolution ? 1 : 0,
      " validation=", recipe.validation, " patience=", recipe.patience);
}

absl::Status CheckRecipe(const Recipe& recipe) {
  if (recipe.epochs < 1) {
    return OutOfRange("epochs", absl::StrCat(recipe.epochs), "1 or more");
  }
  if (recipe.minibatch < 1) {
    return OutOfRange("minibatch", absl::StrCat(recipe.minibatch), "1 or more");
  }
  if (!std::isfinite(recipe.learning_rate) || recipe.learning_rate <= 0) {
    return OutOfRange("learning_rate", absl::StrCat(recipe.learning_rate),
                      "more than 0");
  }
  if (recipe.optimizer != "adam" && recipe.optimizer != "sgd" &&
      recipe.optimizer != "muon") {
    return OutOfRange("optimizer", recipe.optimizer, "adam, sgd or muon");
  }
  if (!std::isfinite(recipe.weight_decay) || recipe.weight_decay < 0) {
    return OutOfRange("weight_decay", absl::StrCat(recipe.weight_decay),
                      "0 or more");
  }
  if (recipe.precision != "fp32" && recipe.precision != "bf16") {
    return OutOfRange("precision", recipe.precision, "fp32 or bf16");
  }
  if (recipe.init.empty()) {
    return OutOfRange("init", "empty",
                      "deployed, scratch, or a bundle's directory");
  }
  if (!(recipe.label_share >= 0 && recipe.label_share <= 1)) {
    return OutOfRange("label_share", absl::StrCat(recipe.label_share),
                      "0 to 1");
  }
  if (!(recipe.label_smoothing >= 0 && recipe.label_smoothing < 1)) {
    return OutOfRange("label_smoothing", absl::StrCat(recipe.label_smoothing),
                      "0 or more, less than 1");
  }
  if (recipe.validation < -1) {
    return OutOfRange("validation", absl::StrCat(recipe.validation),
                      "0 or more, or -1 for one in twenty");
  }
  if (recipe.patience < 0) {
    return OutOfRange("patience", absl::StrCat(recipe.patience), "0 or more");
  }
  return absl::OkStatus();
}

int64_t NumHeldOut(const Recipe& recipe, int64_t size, int64_t least) {
  const int64_t wanted =
      recipe.validation >= 0
          ? recipe.validation
          : std::min(kDefaultHeldOut, size / kDefaultHeldOutPart);
  const int64_t held_out = std::min(wanted, size - least);
  return held_out >= least ? held_out : 0;
}

}  // namespace parm
