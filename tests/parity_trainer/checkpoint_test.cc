#include "parity_trainer/checkpoint.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "parity_trainer/architectures/architecture.h"
#include "tests/support/matchers.h"
#include "tests/support/scratch_directory.h"

namespace parm {
namespace {

using ::testing::HasSubstr;

/// A small network with its optimiser after `steps` steps.
struct Trainee {
  explicit Trainee(int steps, int64_t side = 8)
      : network(*BuildArchitecture(
            "mlp", {.sample_shape = {1, side, side}, .num_outputs = 3})),
        optimizer(Parameters(network), torch::optim::AdamOptions(1e-2)) {
    for (int i = 0; i < steps; ++i) Step(i);
  }

  static std::vector<at::Tensor> Parameters(const torch::jit::Module& module) {
    std::vector<at::Tensor> parameters;
    for (const at::Tensor& parameter : module.parameters()) {
      parameters.push_back(parameter);
    }
    return parameters;
  }

  void Step(int seed) {
    torch::manual_seed(static_cast<uint64_t>(seed));
    optimizer.zero_grad();
    network.forward({torch::rand({4, 1, 8, 8})})
        .toTensor()
        .square()
        .mean()
        .backward();
    optimizer.step();
  }

  torch::jit::Module network;
  torch::optim::Adam optimizer;
};

bool Equal(const Trainee& a, const Trainee& b) {
  const std::vector<at::Tensor> left = Trainee::Parameters(a.network);
  const std::vector<at::Tensor> right = Trainee::Parameters(b.network);
  for (size_t i = 0; i < left.size(); ++i) {
    if (!torch::equal(left[i], right[i])) return false;
  }
  return left.size() == right.size();
}

TEST(CheckpointTest, RestoredRunGoesOnBitByBit) {
  const ScratchDirectory scratch;
  Trainee original(5);
  ASSERT_THAT(SaveCheckpoint(scratch / "c", "same", {.step = 5, .seconds = 2.5},
                             original.network, original.optimizer),
              IsOk());
  Trainee restored(1);
  ASSERT_FALSE(Equal(original, restored));
  PARM_ASSERT_OK_AND_ASSIGN(
      const CheckpointPosition position,
      LoadCheckpoint(scratch / "c", "same", &restored.network,
                     &restored.optimizer));
  EXPECT_EQ(position.step, 5);
  EXPECT_EQ(position.seconds, 2.5);
  EXPECT_TRUE(Equal(original, restored));
  // The optimiser's moments are part of it.
  for (int i = 0; i < 3; ++i) {
    original.Step(i);
    restored.Step(i);
    EXPECT_TRUE(Equal(original, restored)) << "step " << i;
  }
}

TEST(CheckpointTest, BestEpochIsPartOfIt) {
  const ScratchDirectory scratch;
  Trainee best(3);
  Trainee now(5);
  ASSERT_THAT(SaveCheckpoint(scratch / "c", "same",
                             {.step = 5,
                              .best_epoch = 2,
                              .best_accuracy = 0.75,
                              .best = StateOf(best.network)},
                             now.network, now.optimizer),
              IsOk());
  Trainee restored(1);
  PARM_ASSERT_OK_AND_ASSIGN(
      const CheckpointPosition position,
      LoadCheckpoint(scratch / "c", "same", &restored.network,
                     &restored.optimizer));
  EXPECT_EQ(position.best_epoch, 2);
  EXPECT_EQ(position.best_accuracy, 0.75);
  EXPECT_TRUE(Equal(now, restored));
  const NetworkState want = StateOf(best.network);
  ASSERT_EQ(position.best.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) {
    EXPECT_TRUE(torch::equal(position.best[i], want[i])) << i;
  }
}

TEST(CheckpointTest, OtherSettingsAreRefusedInASentence) {
  const ScratchDirectory scratch;
  Trainee trainee(1);
  ASSERT_THAT(SaveCheckpoint(scratch / "c", "epochs=3", {}, trainee.network,
                             trainee.optimizer),
              IsOk());
  EXPECT_THAT(LoadCheckpoint(scratch / "c", "epochs=4", &trainee.network,
                             &trainee.optimizer)
                  .status(),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("made with other settings: ")));
}

TEST(CheckpointTest, MissingFileIsNotFound) {
  const ScratchDirectory scratch;
  Trainee trainee(0);
  EXPECT_THAT(
      LoadCheckpoint(scratch / "c", "", &trainee.network, &trainee.optimizer)
          .status(),
      StatusIs(absl::StatusCode::kNotFound));
}

TEST(CheckpointTest, DamagedFileIsDataLoss) {
  const ScratchDirectory scratch;
  Trainee trainee(1);
  ASSERT_THAT(SaveCheckpoint(scratch / "c", "same", {}, trainee.network,
                             trainee.optimizer),
              IsOk());
  const std::string bytes = ReadFile(scratch / "c");
  for (const size_t size : {size_t{0}, size_t{100}, bytes.size() / 2}) {
    WriteFile(scratch / "c", bytes.substr(0, size));
    EXPECT_THAT(
        LoadCheckpoint(scratch / "c", "same", &trainee.network,
                       &trainee.optimizer)
            .status(),
        StatusIs(absl::StatusCode::kDataLoss, HasSubstr("damaged checkpoint")))
        << "size=" << size;
  }
}

TEST(CheckpointTest, AnotherNetworkIsDataLoss) {
  const ScratchDirectory scratch;
  const Trainee larger(0, /*side=*/9);
  ASSERT_THAT(SaveCheckpoint(scratch / "c", "same", {}, larger.network,
                             larger.optimizer),
              IsOk());
  Trainee trainee(0);
  EXPECT_THAT(
      LoadCheckpoint(scratch / "c", "same", &trainee.network,
                     &trainee.optimizer)
          .status(),
      StatusIs(absl::StatusCode::kDataLoss, HasSubstr("another network")));
}

TEST(CheckpointTest, UnwritablePathKeepsTheSystemsWords) {
  const ScratchDirectory scratch;
  WriteFile(scratch / "file", "");
  const Trainee trainee(0);
  EXPECT_THAT(
      SaveCheckpoint(scratch / "file/c", "", {}, trainee.network,
                     trainee.optimizer),
      StatusIs(absl::StatusCode::kUnavailable, HasSubstr("Not a directory")));
}

}  // namespace
}  // namespace parm
