#include "backends/served_bundle.h"

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/linear_model.h"
#include "tests/support/matchers.h"
#include "tests/support/scratch_directory.h"

namespace parm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Counts the batch sizes it is run with, and answers what it is told to.
class ScriptedModel : public Model {
 public:
  ScriptedModel(std::vector<int64_t>* batch_sizes, ModelTensor answer)
      : batch_sizes_(batch_sizes), answer_(std::move(answer)) {}
  absl::StatusOr<std::vector<ModelTensor>> Run(
      absl::Span<const ModelTensor> inputs) const override {
    batch_sizes_->push_back(inputs[0].shape[0]);
    ModelTensor answer = answer_;
    answer.shape[0] = inputs[0].shape[0];
    return std::vector<ModelTensor>{std::move(answer)};
  }

 private:
  std::vector<int64_t>* const batch_sizes_;
  const ModelTensor answer_;
};

class ServedBundleTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto bundle = WriteLinearBundle(folder_ + "_deployed", options_);
    ASSERT_THAT(bundle, IsOk());
    bundle_ = *std::move(bundle);
  }

  absl::StatusOr<std::unique_ptr<ServedBundle>> ServeScripted(
      const Bundle& bundle, ModelTensor answer) {
    return ServedBundle::Create(bundle,
                                [&](const ModelFile&) {
                                  return std::make_unique<const ScriptedModel>(
                                      &batch_sizes_, answer);
                                },
                                {});
  }

  ScratchDirectory scratch_;
  const std::string folder_ = scratch_ / "bundle";
  const LinearBundleOptions options_ = {.model = {.num_outputs = 3},
                                        .sample_shape = {2, 2}};
  Bundle bundle_;
  std::vector<int64_t> batch_sizes_;
};

TEST_F(ServedBundleTest, WarmsUpAtEachBatchSize) {
  PARM_ASSERT_OK_AND_ASSIGN(
      const Bundle parity,
      WriteLinearParityBundle(folder_ + "_pack", options_, bundle_,
                              {.scheme = "pack", .k = 4}));
  ASSERT_THAT(
      ServeScripted(parity, {.datatype = DataType::kFp32, .shape = {1, 3}}),
      IsOk());
  EXPECT_THAT(batch_sizes_, ElementsAre(1, 1, 1, 4, 4, 4));
}

TEST_F(ServedBundleTest, ModelOfAnotherShapeIsInvalid) {
  EXPECT_THAT(
      ServeScripted(bundle_, {.datatype = DataType::kFp32, .shape = {1, 7}}),
      StatusIs(absl::StatusCode::kInvalidArgument,
               HasSubstr("output differs: got FP32 [1,7]")));
}

TEST_F(ServedBundleTest, ModelOfAnotherDatatypeIsInvalid) {
  EXPECT_THAT(
      ServeScripted(bundle_, {.datatype = DataType::kInt64, .shape = {1, 3}}),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("got INT64")));
}

TEST_F(ServedBundleTest, TruncatedModelFileIsDataLoss) {
  bundle_.model_path = folder_ + "_deployed/bundle.yaml";
  EXPECT_THAT(ServedBundle::Create(bundle_, LoadLinearModel, {}),
              StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(ServedBundleTest, MissingModelFileIsNotFound) {
  bundle_.model_path = folder_ + "_deployed/absent";
  EXPECT_THAT(ServedBundle::Create(bundle_, LoadLinearModel, {}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("absent")));
}

TEST_F(ServedBundleTest, ArrangeInputsSaysWhatDoesNotFit) {
  PARM_ASSERT_OK_AND_ASSIGN(const auto served,
                            ServedBundle::Create(bundle_, LoadLinearModel, {}));
  const TensorSpec good = {
      .name = "x", .datatype = DataType::kFp32, .shape = {5, 2, 2}};
  const std::vector<Buffer> one(1);
  EXPECT_THAT(served->ArrangeInputs({good}, one), IsOk());

  const auto refuses = [&](std::vector<TensorSpec> specs,
                           const std::string& sentence) {
    const std::vector<Buffer> bytes(specs.size());
    EXPECT_THAT(
        served->ArrangeInputs(specs, bytes),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(sentence)));
  };
  refuses({}, "number of inputs differs: got 0, want 1");
  refuses({good, good}, "number of inputs differs: got 2, want 1");
  TensorSpec wrong = good;
  wrong.name = "y";
  refuses({wrong}, "input is missing: want 'x' FP32 [-1,2,2]");
  wrong = good;
  wrong.datatype = DataType::kUint8;
  refuses({wrong}, "got 'x' UINT8 [5,2,2], want 'x' FP32 [-1,2,2]");
  wrong = good;
  wrong.shape = {5, 4};
  refuses({wrong}, "got 'x' FP32 [5,4]");
  wrong.shape = {0, 2, 2};
  refuses({wrong}, "got 'x' FP32 [0,2,2]");
}

TEST_F(ServedBundleTest, ParityOfLinearModelIsExact) {
  PARM_ASSERT_OK_AND_ASSIGN(const auto deployed,
                            ServedBundle::Create(bundle_, LoadLinearModel, {}));
  PARM_ASSERT_OK_AND_ASSIGN(
      const Bundle parity_bundle,
      WriteLinearParityBundle(folder_ + "_sum", options_, bundle_,
                              {.scheme = "sum", .k = 2}));
  PARM_ASSERT_OK_AND_ASSIGN(
      const auto parity,
      ServedBundle::Create(parity_bundle, LoadLinearModel, {}));
  const auto run = [](const ServedBundle& served,
                      const std::vector<float>& values) {
    const std::string bytes(reinterpret_cast<const char*>(values.data()),
                            values.size() * sizeof(float));
    const auto outputs = served.Run({{.datatype = DataType::kFp32,
                                      .shape = {1, 2, 2},
                                      .bytes = Buffer::FromString(bytes)}});
    EXPECT_THAT(outputs, IsOk());
    std::vector<float> floats(3);
    std::memcpy(floats.data(), (*outputs)[0].bytes.bytes().data(), 12);
    return floats;
  };
  const auto first = run(*deployed, {1, 2, 3, 4});
  const auto second = run(*deployed, {5, 6, 7, 8});
  const auto sum = run(*parity, {6, 8, 10, 12});
  for (size_t i = 0; i < sum.size(); ++i) {
    EXPECT_EQ(sum[i] - second[i], first[i]);
  }
}

}  // namespace
}  // namespace parm
