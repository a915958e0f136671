// What the CUDA weighted sum refuses, which takes no device.

#include <string>
#include <vector>

#include "encoder/cuda/weighted_sum.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

TEST(CudaWeightedSumErrorsTest, RefusesOtherThanOneToSixteenInputs) {
  const auto invalid = StatusIs(absl::StatusCode::kInvalidArgument);
  const std::vector<float> weights(17, 1);
  const std::vector<const float*> inputs(17, nullptr);
  EXPECT_THAT(cuda::WeightedSum({}, {}, 4, nullptr, nullptr), invalid);
  EXPECT_THAT(cuda::WeightedSum(weights, inputs, 4, nullptr, nullptr), invalid);
  EXPECT_THAT(cuda::WeightedSum({1.0F}, absl::MakeConstSpan(inputs).first(2), 4,
                                nullptr, nullptr),
              invalid);
  EXPECT_THAT(cuda::WeightedSum({1.0F}, absl::MakeConstSpan(inputs).first(1), 0,
                                nullptr, nullptr),
              IsOk());
}

TEST(CudaWeightedSumErrorsTest, SaysWhenThereIsNoDevice) {
  if (cuda::NumDevices().ok()) GTEST_SKIP() << "this machine has a GPU";
  EXPECT_THAT(cuda::NumDevices(),
              StatusIs(absl::StatusCode::kUnavailable,
                       testing::HasSubstr("no CUDA device: ")));
  const float* const input = nullptr;
  EXPECT_THAT(cuda::WeightedSum({1.0F}, {input}, 4, nullptr, nullptr),
              StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace parm
