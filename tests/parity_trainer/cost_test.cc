#include "parity_trainer/cost.h"

#include "gtest/gtest.h"
#include "tests/parity_trainer/torch_models.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

TEST(CostTest, SameModelOnSameInputCostsAboutOne) {
  const ModelRunner model = *ModelRunner::Create(ModelBytes("return x"));
  const HostTensor input{DataType::kUint8, {1, 4}, "abcd"};
  PARM_ASSERT_OK_AND_ASSIGN(const double cost,
                            MeasureRelativeCost(model, input, model, input));
  // Generous: the machine may be busy.
  EXPECT_GT(cost, 0.05);
  EXPECT_LT(cost, 20);
}

TEST(CostTest, RefusedInputIsInvalid) {
  const ModelRunner model =
      *ModelRunner::Create(LinearModelBytes(1, {1, 2, 3}));
  const HostTensor input{DataType::kUint8, {1, 4}, "abcd"};
  EXPECT_THAT(MeasureRelativeCost(model, input, model, input),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace parm
