#include "frontend/model_directory.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/wire_codec.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr ModelId kModel{0};
constexpr WorkerId kWorker{0};
constexpr Time kNow = Time{} + Milliseconds(1000);

class ModelDirectoryTest : public testing::Test {
 protected:
  static std::vector<core::ModelOptions> Models() {
    return {core::ModelOptions{.name = "m", .max_batch_size = 4},
            core::ModelOptions{.name = "other"}};
  }
  static CatalogOptions Options() {
    CatalogOptions options;
    options.models = {{.name = "m"}, {.name = "other"}};
    options.fault_domains = {""};
    options.max_in_flight = {1};
    return options;
  }

  // The worker serves version "1" of each of these models.
  void Serve(const std::vector<std::string>& models,
             uint64_t max_message_bytes = 0) {
    wire::Hello hello;
    hello.set_worker_id("w");
    hello.set_instance_nonce(1);
    hello.set_max_message_bytes(max_message_bytes);
    for (const std::string& model : models) {
      wire::BundleInfo* const bundle = hello.add_bundles();
      bundle->set_sha256(std::string(32, model[0]));
      bundle->set_model(model);
      bundle->set_version("1");
      bundle->set_role(wire::DEPLOYED);
      *bundle->add_inputs() = wire::ToWire(input_);
      *bundle->add_outputs() = wire::ToWire(output_);
    }
    board_.OnHello(kWorker, hello, kNow);
    catalog_.OnHello(kWorker, hello);
  }

  const TensorSpec input_ = {"x", DataType::kFp32, {-1, 3}};
  const TensorSpec output_ = {"y", DataType::kFp32, {-1, 2}};
  const std::vector<core::ModelOptions> models_ = Models();
  ModelCatalog catalog_{Options()};
  WorkerBoard board_{{"tcp://127.0.0.1:1"}, Milliseconds(100)};
  const ModelDirectory directory_{models_, catalog_, board_};
};

TEST_F(ModelDirectoryTest, FindsModelsByNameAndVersion) {
  EXPECT_THAT(directory_.Names(), ElementsAre("m", "other"));
  EXPECT_THAT(directory_.Find("m", ""), IsOkAndHolds(kModel));
  EXPECT_THAT(directory_.Find("m", "1"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("version '1'")));
  Serve({"m"});
  EXPECT_THAT(directory_.Find("m", "1"), IsOkAndHolds(kModel));
  EXPECT_THAT(directory_.Find("n", ""),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("model 'n'")));
}

TEST_F(ModelDirectoryTest, AddsUpWhatWasCountedOfAModel) {
  core::CoreCounters core;
  core.models.resize(2);
  const auto exact = static_cast<size_t>(core::AnswerSource::kExact);
  const auto hedged = static_cast<size_t>(core::AnswerSource::kHedged);
  const auto error = static_cast<size_t>(core::AnswerSource::kError);
  core.models[0].latency[exact].Record(Milliseconds(2), 3);
  core.models[0].latency[hedged].Record(Milliseconds(5));
  core.models[0].latency[error].Record(Milliseconds(7));
  core.models[0].dispatch_delay.Record(Milliseconds(1), 5);
  LoopCounters loop;
  loop.use.resize(2);
  loop.use[0] = {.samples = 9, .executions = 4};
  PARM_ASSERT_OK_AND_ASSIGN(auto models,
                            directory_.Statistics("", "", core, loop));
  ASSERT_EQ(models.size(), 2U);
  EXPECT_EQ(models[0].name, "m");
  EXPECT_EQ(models[0].version, "") << "nobody said one yet";
  EXPECT_EQ(models[0].success.count, 4U);
  EXPECT_EQ(models[0].success.ns, 11'000'000U);
  EXPECT_EQ(models[0].fail.count, 1U);
  EXPECT_EQ(models[0].queue.count, 5U);
  EXPECT_EQ(models[0].queue.ns, 5'000'000U);
  EXPECT_EQ(models[0].inferences, 9U);
  EXPECT_EQ(models[0].executions, 4U);
  EXPECT_EQ(models[0].last_inference_ms, 0U);
  EXPECT_EQ(models[1].success.count, 0U);
  Serve({"m"});
  loop.use[0].last_query_ms = 1'700'000'000'000;
  PARM_ASSERT_OK_AND_ASSIGN(models,
                            directory_.Statistics("m", "1", core, loop));
  ASSERT_EQ(models.size(), 1U);
  EXPECT_EQ(models[0].version, "1");
  EXPECT_EQ(models[0].last_inference_ms, 1'700'000'000'000U);
  EXPECT_THAT(directory_.Statistics("n", "", core, loop),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("model 'n'")));
}

TEST_F(ModelDirectoryTest, IsReadyWhenEveryModelHasALiveWorker) {
  Serve({"m"});
  EXPECT_TRUE(directory_.HasLiveWorker(kModel, kNow));
  EXPECT_FALSE(directory_.Ready(kNow));
  Serve({"m", "other"});
  EXPECT_TRUE(directory_.Ready(kNow));
  EXPECT_FALSE(directory_.Ready(kNow + Milliseconds(200))) << "silent";
}

TEST_F(ModelDirectoryTest, DescribesWhatWasEverServed) {
  EXPECT_THAT(directory_.Metadata("m", ""),
              StatusIs(absl::StatusCode::kUnavailable));
  Serve({"m"});
  board_.OnLost(kWorker);
  catalog_.OnLost(kWorker);
  PARM_ASSERT_OK_AND_ASSIGN(const ModelMetadata metadata,
                            directory_.Metadata("m", "1"));
  EXPECT_THAT(metadata.versions, ElementsAre("1"));
  EXPECT_THAT(metadata.inputs, ElementsAre(input_));
  EXPECT_THAT(metadata.outputs, ElementsAre(output_));
  EXPECT_EQ(metadata.max_batch_size, 4U);
}

TEST_F(ModelDirectoryTest, KnowsHowLargeATensorMayBe) {
  EXPECT_THAT(directory_.CheckTensorBytes(kModel, 1 << 20), IsOk());
  Serve({"m"}, /*max_message_bytes=*/100);
  EXPECT_THAT(directory_.CheckTensorBytes(kModel, 100), IsOk());
  EXPECT_THAT(directory_.CheckTensorBytes(kModel, 101),
              StatusIs(absl::StatusCode::kOutOfRange,
                       HasSubstr("got 101 bytes, want at most 100")));
  EXPECT_THAT(directory_.CheckTensorBytes(ModelId{1}, 101), IsOk());
}

}  // namespace
}  // namespace parm
