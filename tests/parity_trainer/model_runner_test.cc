#include "parity_trainer/model_runner.h"

#include <string>

#include "base/status_macros.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/parity_trainer/test_data.h"
#include "tests/parity_trainer/torch_models.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Dataset MakeData(int64_t count) {
  Dataset data{.datatype = DataType::kUint8,
               .sample_shape = {1, kSide, kSide},
               .num_classes = kClasses};
  data.test.values = Pictures(count, 3);
  data.test.labels.assign(static_cast<size_t>(count), 0);
  return data;
}

absl::StatusOr<HostTensor> RunAll(const std::string& body, int64_t count) {
  PARM_ASSIGN_OR_RETURN(const ModelRunner runner,
                        ModelRunner::Create(ModelBytes(body)));
  const Dataset data = MakeData(count);
  return runner.RunAll(data, data.test, DataType::kFp32);
}

TEST(ModelRunnerTest, AnswersAsTheModelDoes) {
  PARM_ASSERT_OK_AND_ASSIGN(
      const ModelRunner runner,
      ModelRunner::Create(LinearModelBytes(2, {1, 2, 3, 4, 5, 6})));
  const HostTensor input{DataType::kUint8, {1, 3}, std::string("\1\2\3", 3)};
  PARM_ASSERT_OK_AND_ASSIGN(const HostTensor answer, runner.Run(input));
  EXPECT_THAT(answer.shape, ElementsAre(1, 2));
  EXPECT_THAT(answer.floats(), ElementsAre(14, 32));
}

TEST(ModelRunnerTest, OtherFilesAreNoModels) {
  for (const std::string& bytes :
       {std::string(), std::string("PK not a zip")}) {
    EXPECT_THAT(ModelRunner::Create(bytes).status(),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("not a TorchScript model")));
  }
}

TEST(ModelRunnerTest, TruncatedModelIsNoModel) {
  const std::string bytes = LinearModelBytes(2, {1, 2, 3, 4, 5, 6});
  EXPECT_THAT(ModelRunner::Create(bytes.substr(0, bytes.size() / 2)).status(),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(ModelRunnerTest, WrongInputShapeIsTheModelsOwnSentence) {
  PARM_ASSERT_OK_AND_ASSIGN(
      const ModelRunner runner,
      ModelRunner::Create(LinearModelBytes(2, {1, 2, 3, 4, 5, 6})));
  const HostTensor input{DataType::kUint8, {1, 4}, "abcd"};
  EXPECT_THAT(runner.Run(input),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("model refuses an input of UINT8[1,4]: ")));
}

TEST(ModelRunnerTest, SeveralOutputsAreRefused) {
  EXPECT_THAT(RunAll("return x, x", 3),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("no single tensor")));
}

TEST(ModelRunnerTest, RunAllJoinsItsBatches) {
  PARM_ASSERT_OK_AND_ASSIGN(const HostTensor logits,
                            RunAll("return torch.flatten(x, 1)", 1203));
  EXPECT_THAT(logits.shape, ElementsAre(1203, kSide * kSide));
  const std::string pictures = Pictures(1203, 3);
  for (size_t i = 0; i < pictures.size(); i += 97) {
    EXPECT_EQ(logits.floats()[i], static_cast<uint8_t>(pictures[i]));
  }
}

TEST(ModelRunnerTest, LogitsMustBeOneRowPerSample) {
  for (const std::string& body :
       {std::string("return x"), std::string("return torch.sum(x)"),
        std::string("return torch.flatten(x, 0, 1)")}) {
    EXPECT_THAT(RunAll(body, 3), StatusIs(absl::StatusCode::kInvalidArgument,
                                          HasSubstr("wrong shape")))
        << body;
  }
}

TEST(ModelRunnerTest, NanLogitsAreDataLoss) {
  EXPECT_THAT(RunAll("return torch.log(torch.flatten(x, 1) - 1000)", 3),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("not finite")));
}

}  // namespace
}  // namespace parm
