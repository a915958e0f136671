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

/// Of an answer that is a plain sum, and of one that holds each member.
at::Tensor Coefficients(bool multi_output) {
  return multi_output ? at::Tensor() : torch::ones({3});
}

double Loss(ParityLoss loss, const at::Tensor& answer, bool multi_output,
            const at::Tensor& members) {
  return ComputeParityLoss(loss, Coefficients(multi_output), answer, members,
                           torch::softmax(members, 2))
      .item<double>();
}

TEST(ParityObjectiveTest, MseIsAgainstTheSum) {
  const at::Tensor members = Members();
  const at::Tensor sum = members[0] + members[1] + members[2];
  EXPECT_EQ(Loss(ParityLoss::kMse, sum, false, members), 0);
  EXPECT_NEAR(Loss(ParityLoss::kMse, sum + 2, false, members), 4, 1e-5);
}

TEST(ParityObjectiveTest, MseOfSeveralOutputsIsSliceBySlice) {
  const at::Tensor members = Members();
  EXPECT_EQ(Loss(ParityLoss::kMse, members, true, members), 0);
  EXPECT_NEAR(Loss(ParityLoss::kMse, members + 2, true, members), 4, 1e-5);
  // As `pack` answers: side by side on the batch axis.
  EXPECT_EQ(Loss(ParityLoss::kMse, members.view({15, 4}), true, members), 0);
}

TEST(ParityObjectiveTest, DecodedIsLeastAtTheExactAnswer) {
  const at::Tensor members = Members();
  for (const bool multi_output : {false, true}) {
    const at::Tensor exact = multi_output ? members : members.sum(0);
    const double least =
        Loss(ParityLoss::kDecoded, exact, multi_output, members);
    for (int i = 0; i < 20; ++i) {
      const at::Tensor off = exact + torch::randn(exact.sizes());
      EXPECT_GT(Loss(ParityLoss::kDecoded, off, multi_output, members), least)
          << "draw " << i << " seed " << kSeed;
    }
  }
}

TEST(ParityObjectiveTest, DecodedMindsDecisionsMoreThanScale) {
  const at::Tensor members = Members();
  const at::Tensor sum = members.sum(0);
  // The same squared error, once in a direction that softmax does not see.
  const at::Tensor uniform = torch::ones_like(sum);
  at::Tensor tilted = torch::ones_like(sum);
  tilted.slice(1, 0, 2) *= -1;
  EXPECT_LT(Loss(ParityLoss::kDecoded, sum + uniform, false, members),
            Loss(ParityLoss::kDecoded, sum + tilted, false, members));
}

TEST(ParityObjectiveTest, WeightsOfTheAnswerAreDividedOut) {
  const at::Tensor members = Members();
  const at::Tensor weights = torch::tensor({1.5F, -0.6F, 0.5F});
  const at::Tensor exact = (members * weights.view({3, 1, 1})).sum(0);
  EXPECT_NEAR(ComputeParityLoss(ParityLoss::kMse, weights, exact + 2, members,
                                torch::softmax(members, 2))
                  .item<double>(),
              4, 1e-4);
  EXPECT_TRUE(torch::allclose(DecodeEach(weights, exact, members), members,
                              1e-4, 1e-4));
  const at::Tensor decoded = DecodeEach(weights, exact + 3, members);
  EXPECT_TRUE(torch::allclose(decoded[0], members[0] + 2, 1e-4, 1e-4));
  EXPECT_TRUE(torch::allclose(decoded[1], members[1] - 5, 1e-4, 1e-4));
}

TEST(ParityObjectiveTest, SiblingsOutputsAreTakenOffTheSum) {
  const at::Tensor members = Members();
  const at::Tensor answer = members.sum(0) + 1;
  const at::Tensor decoded = DecodeEach(Coefficients(false), answer, members);
  for (int64_t lost = 0; lost < 3; ++lost) {
    EXPECT_TRUE(torch::allclose(
        decoded[lost],
        answer - members[(lost + 1) % 3] - members[(lost + 2) % 3], 1e-4,
        1e-4));
  }
  EXPECT_TRUE(
      torch::equal(DecodeEach(at::Tensor(), members, members), members));
}

}  // namespace
}  // namespace parm
