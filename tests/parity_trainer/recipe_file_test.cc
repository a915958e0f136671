#include "parity_trainer/recipe_file.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/matchers.h"
#include "tests/support/scratch_directory.h"

namespace parm {
namespace {

using ::testing::HasSubstr;

constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;

TEST(RecipeFileTest, FlagsGoBeforeFileBeforeDefaults) {
  const ScratchDirectory scratch;
  WriteFile(scratch / "r.yaml",
            "epochs: 5\nminibatch: 64\nmirror: true\nweight_decay: 0\n"
            "arch: cnn\nseconds: 12.5\n");
  PARM_ASSERT_OK_AND_ASSIGN(
      const Recipe recipe,
      ChooseRecipe({.epochs = 80, .minibatch = 256, .loss = "decoded"},
                   {.recipe = scratch / "r.yaml", .epochs = 7}));
  EXPECT_EQ(recipe.epochs, 7);
  EXPECT_EQ(recipe.minibatch, 64);
  EXPECT_EQ(recipe.loss, "decoded");
  EXPECT_EQ(recipe.weight_decay, 0);
  EXPECT_TRUE(recipe.augmentation.mirror);
}

TEST(RecipeFileTest, MistakesNameTheirPlace) {
  const ScratchDirectory scratch;
  const TrainingOptions options = {.recipe = scratch / "r.yaml"};
  EXPECT_THAT(ChooseRecipe({}, options), StatusIs(absl::StatusCode::kNotFound));
  WriteFile(options.recipe, "epochs: 5\nepoch: 5\n");
  EXPECT_THAT(ChooseRecipe({}, options),
              StatusIs(kInvalid, HasSubstr("r.yaml:2")));
  WriteFile(options.recipe, "optimizer: lion\n");
  EXPECT_THAT(ChooseRecipe({}, options),
              StatusIs(kInvalid, HasSubstr("optimizer is lion")));
}

}  // namespace
}  // namespace parm
