#include "parity_trainer/parity_objective.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

constexpr uint64_t kSeed = 9;

/// Logits of three members in five groups.
at::Tensor Members() {
  torch::manual_seed(kSeed);
  return torch::randn({3, 5, 4}) * 3;
}

TEST(ParityObjectiveTest, NamesReadBack) {
  for (const ParityLoss loss : {ParityLoss::kMse, ParityLoss::kDecoded}) {
    EXPECT_THAT(ParseParityLoss(ToString(loss)),
                IsOkAndHolds(testing::Eq(loss)));
  }
  EXPECT_THAT(ParseParityLoss("l1"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       testing::HasSubstr("want mse or decoded")));
}

TEST(ParityObjectiveTest, MseIsAgainstTheSum) {
  const at::Tensor members = Members();
  const at::Tensor sum = members[0] + members[1] + members[2];
  EXPECT_EQ(ComputeParityLoss(ParityLoss::kMse, sum, members).item<double>(),
            0);
  EXPECT_NEAR(
      ComputeParityLoss(ParityLoss::kMse, sum + 2, members).item<double>(), 4,
      1e-5);
}

TEST(ParityObjectiveTest, DecodedIsLeastAtTheSum) {
  const at::Tensor members = Members();
  const at::Tensor sum = members.sum(0);
  const double least =
      ComputeParityLoss(ParityLoss::kDecoded, sum, members).item<double>();
  for (int i = 0; i < 20; ++i) {
    const at::Tensor off = sum + torch::randn(sum.sizes());
    EXPECT_GT(
        ComputeParityLoss(ParityLoss::kDecoded, off, members).item<double>(),
        least)
        << "draw " << i << " seed " << kSeed;
  }
}

TEST(ParityObjectiveTest, DecodedMindsDecisionsMoreThanScale) {
  const at::Tensor members = Members();
  const at::Tensor sum = members.sum(0);
  // The same squared error, once in a direction that softmax does not see.
  const at::Tensor uniform = torch::ones_like(sum);
  at::Tensor tilted = torch::ones_like(sum);
  tilted.slice(1, 0, 2) *= -1;
  EXPECT_LT(ComputeParityLoss(ParityLoss::kDecoded, sum + uniform, members)
                .item<double>(),
            ComputeParityLoss(ParityLoss::kDecoded, sum + tilted, members)
                .item<double>());
}

}  // namespace
}  // namespace parm
