#include "parity_trainer/recipe.h"

#include <limits>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::HasSubstr;

TEST(RecipeTest, EveryKeyIsBounded) {
  EXPECT_THAT(CheckRecipe({}), IsOk());
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<std::pair<Recipe, std::string>> bad = {
      {{.epochs = 0}, "epochs is 0, want 1 or more"},
      {{.minibatch = -1}, "minibatch is -1"},
      {{.learning_rate = 0}, "learning_rate is 0, want more than 0"},
      {{.learning_rate = nan}, "learning_rate is nan"},
      {{.optimizer = "lion"}, "optimizer is lion, want adam, sgd or muon"},
      {{.weight_decay = -1}, "weight_decay is -1"},
      {{.precision = "fp8"}, "precision is fp8, want fp32 or bf16"},
      {{.init = ""}, "init is empty, want deployed, scratch, or a bundle"},
      {{.label_share = 1.5}, "label_share is 1.5, want 0 to 1"},
      {{.label_share = nan}, "label_share is nan"},
      {{.label_smoothing = 1}, "label_smoothing is 1, want 0 or more, less"},
      {{.label_smoothing = nan}, "label_smoothing is nan"},
      {{.validation = -2}, "validation is -2"},
      {{.patience = -1}, "patience is -1"}};
  for (const auto& [recipe, words] : bad) {
    EXPECT_THAT(CheckRecipe(recipe),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(words)));
  }
}

TEST(RecipeTest, DescriptionTellsRecipesApart) {
  const std::vector<Recipe> recipes = {{},
                                       {.epochs = 2},
                                       {.optimizer = "sgd"},
                                       {.weight_decay = 1},
                                       {.precision = "bf16"},
                                       {.loss = "mse"},
                                       {.label_share = 0},
                                       {.label_smoothing = 0.1},
                                       {.augmentation = {.shift = 1}},
                                       {.augmentation = {.mirror = true}},
                                       {.fresh_answers = false},
                                       {.keep_resolution = true},
                                       {.validation = 7},
                                       {.patience = 1}};
  for (size_t i = 0; i < recipes.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      EXPECT_NE(Describe(recipes[i]), Describe(recipes[j])) << i << " " << j;
    }
  }
}

TEST(RecipeTest, OneInTwentyIsHeldOut) {
  EXPECT_EQ(NumHeldOut({}, 60000, 2), 3000);
  EXPECT_EQ(NumHeldOut({}, 1000000, 2), 5000);
  EXPECT_EQ(NumHeldOut({.validation = 100}, 60000, 2), 100);
  EXPECT_EQ(NumHeldOut({.validation = 0}, 60000, 2), 0);
  // Never so many that nothing is left, or so few that no group is full.
  EXPECT_EQ(NumHeldOut({.validation = 100}, 50, 4), 46);
  EXPECT_EQ(NumHeldOut({.validation = 3}, 50, 4), 0);
  EXPECT_EQ(NumHeldOut({}, 5, 4), 0);
}

}  // namespace
}  // namespace parm
