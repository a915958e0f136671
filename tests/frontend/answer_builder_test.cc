#include "frontend/answer_builder.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/frontend/tensors.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

CatalogBundle BundleOf() {
  CatalogBundle bundle;
  bundle.version = "3";
  bundle.outputs = {
      {.name = "y", .datatype = DataType::kFp32, .shape = {-1, 2}}};
  return bundle;
}

constexpr core::AnswerQuery kLastTwoRows = {
    .source = core::AnswerSource::kReconstructed,
    .first_sample = 1,
    .num_samples = 2,
    .confidence = 0.75F};

TEST(AnswerBuilderTest, CutsTheQuerysRowsAndLabelsThem) {
  TensorSet outputs;
  outputs.tensors = {Fp32Tensor("y", {3, 2}, {1, 2, 3, 4, 5, 6})};
  PARM_ASSERT_OK_AND_ASSIGN(
      const QueryReply reply,
      OutputReply("m", {.id = "7"}, BundleOf(), kLastTwoRows, outputs));
  EXPECT_EQ(reply.source, "reconstructed");
  EXPECT_EQ(reply.confidence, 0.75F);
  EXPECT_EQ(reply.response.id, "7");
  EXPECT_EQ(reply.response.model_name, "m");
  EXPECT_EQ(reply.response.model_version, "3");
  EXPECT_THAT(Floats(reply.response.outputs[0]), ElementsAre(3, 4, 5, 6));
}

TEST(AnswerBuilderTest, NeverGivesRowsThatAreNotThere) {
  TensorSet outputs;
  outputs.tensors = {Fp32Tensor("y", {2, 2}, {1, 2, 3, 4})};
  EXPECT_THAT(OutputReply("m", {}, BundleOf(), kLastTwoRows, outputs),
              StatusIs(absl::StatusCode::kInternal,
                       HasSubstr("parm-frontend: an answer has too few rows")));
}

TEST(AnswerBuilderTest, RepeatsTheDefaultForEveryRow) {
  PARM_ASSERT_OK_AND_ASSIGN(
      const QueryReply reply,
      DefaultReply("m", {.rows = 2}, BundleOf(), {0.5F, 1}));
  EXPECT_EQ(reply.source, "default");
  EXPECT_THAT(reply.response.outputs[0].spec.shape, ElementsAre(2, 2));
  EXPECT_THAT(Floats(reply.response.outputs[0]), ElementsAre(0.5, 1, 0.5, 1));
}

TEST(AnswerBuilderTest, RefusesADefaultThatDoesNotFit) {
  CatalogBundle two = BundleOf();
  two.outputs.push_back(two.outputs[0]);
  CatalogBundle ints = BundleOf();
  ints.outputs[0].datatype = DataType::kInt32;
  CatalogBundle variable = BundleOf();
  variable.outputs[0].shape[1] = -1;
  for (const CatalogBundle& bundle : {two, ints, variable}) {
    EXPECT_THAT(DefaultReply("m", {.rows = 1}, bundle, {0.5F, 1}),
                StatusIs(absl::StatusCode::kDeadlineExceeded));
  }
  EXPECT_THAT(
      DefaultReply("m", {.rows = 1}, BundleOf(), {1}),
      StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("got 1 values")));
}

TEST(AnswerBuilderTest, NamesThisFrontendInEveryError) {
  const std::pair<core::AnswerError, absl::StatusCode> kErrors[] = {
      {core::AnswerError::kDeadlineExceeded,
       absl::StatusCode::kDeadlineExceeded},
      {core::AnswerError::kNoWorker, absl::StatusCode::kUnavailable},
      {core::AnswerError::kOverloaded, absl::StatusCode::kResourceExhausted},
      {core::AnswerError::kDraining, absl::StatusCode::kUnavailable},
      {core::AnswerError::kBackend, absl::StatusCode::kInternal}};
  for (const auto& [error, code] : kErrors) {
    const QueryReply reply = ErrorReply({.name = "m"}, {}, error, "its words");
    EXPECT_THAT(reply.status, StatusIs(code, HasSubstr("parm-frontend: ")));
    const bool retry = code == absl::StatusCode::kUnavailable ||
                       code == absl::StatusCode::kResourceExhausted;
    EXPECT_EQ(reply.retry_after_s, retry ? 1 : 0);
    EXPECT_EQ(reply.source, "");
  }
  EXPECT_THAT(ErrorReply({}, {}, core::AnswerError::kBackend, "its words")
                  .status.message(),
              HasSubstr("its words"));
}

}  // namespace
}  // namespace parm
