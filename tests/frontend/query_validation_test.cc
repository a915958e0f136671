#include "frontend/query_validation.h"

#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/frontend/tensors.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::HasSubstr;

constexpr Duration kDeadline = Milliseconds(500);

CatalogBundle TwoInputs() {
  CatalogBundle bundle;
  bundle.inputs = {
      {.name = "a", .datatype = DataType::kFp32, .shape = {-1, 2}},
      {.name = "b", .datatype = DataType::kFp32, .shape = {-1, -1}}};
  bundle.outputs = {
      {.name = "y", .datatype = DataType::kFp32, .shape = {-1, 2}}};
  return bundle;
}

oip::InferRequest GoodRequest() {
  oip::InferRequest request;
  request.inputs = {Fp32Tensor("b", {2, 1}, {5, 6}),
                    Fp32Tensor("a", {2, 2}, {1, 2, 3, 4})};
  return request;
}

absl::StatusOr<ValidQuery> Validate(oip::InferRequest request) {
  return ValidateQuery(std::move(request), TwoInputs(), /*max_batch_size=*/4,
                       kDeadline);
}

// `change` makes a good request bad; the client reads `sentence`.
template <typename Change>
void ExpectRefused(Change change, const std::string& sentence) {
  oip::InferRequest request = GoodRequest();
  change(request);
  EXPECT_THAT(
      Validate(std::move(request)),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(sentence)));
}

TEST(QueryValidationTest, PutsInputsIntoTheModelsOrder) {
  PARM_ASSERT_OK_AND_ASSIGN(const ValidQuery query, Validate(GoodRequest()));
  ASSERT_EQ(query.inputs.tensors.size(), 2U);
  EXPECT_EQ(query.inputs.tensors[0].spec.name, "a");
  EXPECT_EQ(query.inputs.tensors[1].spec.name, "b");
  EXPECT_EQ(query.inputs.rows, 2);
  EXPECT_EQ(query.bytes, 24U);
  EXPECT_EQ(query.deadline, kDeadline);
  EXPECT_EQ(query.mode, core::AnswerMode::kBalanced);
}

TEST(QueryValidationTest, RefusesAWrongNumberOfInputs) {
  ExpectRefused([](auto& r) { r.inputs.pop_back(); },
                "unexpected number of inputs: got 1, want 2 ('a', 'b')");
}

TEST(QueryValidationTest, RefusesUnknownAndRepeatedNames) {
  ExpectRefused([](auto& r) { r.inputs[0].spec.name = "c"; },
                "unexpected input 'c': the model takes 'a', 'b'");
  ExpectRefused([](auto& r) { r.inputs[0] = r.inputs[1]; },
                "input 'a' is given twice");
}

TEST(QueryValidationTest, RefusesAWrongDatatype) {
  ExpectRefused([](auto& r) { r.inputs[1].spec.datatype = DataType::kInt32; },
                "unexpected datatype for input 'a': got INT32, want FP32");
}

TEST(QueryValidationTest, RefusesAWrongShape) {
  ExpectRefused([](auto& r) { r.inputs[1].spec.shape = {2, 3}; },
                "unexpected shape for input 'a': got [2,3], want [-1,2]");
  ExpectRefused([](auto& r) { r.inputs[1].spec.shape = {4}; },
                "unexpected shape");
  ExpectRefused([](auto& r) { r.inputs[0].spec.shape = {2, -1}; },
                "unexpected shape");
}

TEST(QueryValidationTest, RefusesBytesThatDoNotFillTheShape) {
  ExpectRefused([](auto& r) { r.inputs[1].spec.shape = {3, 2}; },
                "unexpected size of input 'a': got 16 bytes, want 24");
}

TEST(QueryValidationTest, RefusesBatchesThatDifferOrAreTooLarge) {
  ExpectRefused([](auto& r) { r.inputs[0] = Fp32Tensor("b", {1, 1}, {5}); },
                "inputs have different batch sizes: 'a' has 2, 'b' has 1");
  ExpectRefused(
      [](auto& r) {
        r.inputs = {Fp32Tensor("a", {5, 2}, std::vector<float>(10)),
                    Fp32Tensor("b", {5, 1}, std::vector<float>(5))};
      },
      "unexpected batch size: got 5, want 1 to 4");
  ExpectRefused(
      [](auto& r) {
        r.inputs = {Fp32Tensor("a", {0, 2}, {}), Fp32Tensor("b", {0, 1}, {})};
      },
      "unexpected batch size: got 0");
}

TEST(QueryValidationTest, RefusesUnknownOutputs) {
  ExpectRefused([](auto& r) { r.outputs = {{.name = "z"}}; },
                "unexpected output 'z': the model gives 'y'");
}

TEST(QueryValidationTest, TakesTheModesThatThereAre) {
  const std::pair<const char*, core::AnswerMode> kModes[] = {
      {"exact", core::AnswerMode::kExact},
      {"balanced", core::AnswerMode::kBalanced},
      {"fast", core::AnswerMode::kFast}};
  for (const auto& [name, mode] : kModes) {
    oip::InferRequest request = GoodRequest();
    request.parameters = {{"parm_mode", std::string(name)}};
    PARM_ASSERT_OK_AND_ASSIGN(const ValidQuery query,
                              Validate(std::move(request)));
    EXPECT_EQ(query.mode, mode);
  }
}

TEST(QueryValidationTest, RefusesParametersThatMakeNoSense) {
  const auto with = [](const std::string& name, oip::ParameterValue value) {
    return
        [name, value](oip::InferRequest& r) { r.parameters = {{name, value}}; };
  };
  ExpectRefused(with("parm_mode", std::string("sloppy")), "parm_mode must be");
  ExpectRefused(with("parm_mode", true), "parm_mode must be");
  ExpectRefused(with("parm_deadline_us", int64_t{0}),
                "parm_deadline_us must be a whole number");
  ExpectRefused(with("parm_deadline_us", int64_t{-5}),
                "parm_deadline_us must be a whole number");
  ExpectRefused(with("parm_deadline_us", 1.5),
                "parm_deadline_us must be a whole number");
  ExpectRefused(with("parm_dedline_us", int64_t{5}),
                "unknown parameter 'parm_dedline_us'");
}

TEST(QueryValidationTest, LeavesOtherPeoplesParametersAlone) {
  oip::InferRequest request = GoodRequest();
  request.parameters = {{"priority", int64_t{1}}};
  EXPECT_THAT(Validate(std::move(request)), IsOk());
}

TEST(QueryValidationTest, OnlyShortensTheDeadline) {
  const std::pair<oip::ParameterValue, Duration> kCases[] = {
      {int64_t{1000}, Milliseconds(1)},
      {int64_t{600'000}, kDeadline},
      {std::numeric_limits<int64_t>::max(), kDeadline},
      {std::numeric_limits<uint64_t>::max(), kDeadline},
      {uint64_t{2000}, Milliseconds(2)}};
  for (const auto& [value, want] : kCases) {
    oip::InferRequest request = GoodRequest();
    request.parameters = {{"parm_deadline_us", value}};
    PARM_ASSERT_OK_AND_ASSIGN(const ValidQuery query,
                              Validate(std::move(request)));
    EXPECT_EQ(query.deadline, want);
  }
}

TEST(QueryValidationTest, TakesBytesOfAnySize) {
  CatalogBundle bundle = TwoInputs();
  bundle.inputs = {{.name = "s", .datatype = DataType::kBytes, .shape = {-1}}};
  oip::InferRequest request;
  request.inputs = {
      {.spec = {.name = "s", .datatype = DataType::kBytes, .shape = {1}},
       .data = Buffer::FromString(std::string("\x02\0\0\0hi", 6))}};
  EXPECT_THAT(ValidateQuery(std::move(request), bundle, 1, kDeadline), IsOk());
}

}  // namespace
}  // namespace parm
