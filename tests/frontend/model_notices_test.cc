#include "frontend/model_notices.h"

#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/wire_codec.h"
#include "spdlog/sinks/ostream_sink.h"
#include "spdlog/spdlog.h"

namespace parm {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr ModelId kModel{0};

class ModelNoticesTest : public testing::Test {
 protected:
  ModelNoticesTest() {
    models_[0].decode.min_agreement = 0.75;
    auto logger = std::make_shared<spdlog::logger>(
        "test", std::make_shared<spdlog::sinks::ostream_sink_st>(log_));
    logger->set_pattern("%l %v");
    former_logger_ = spdlog::default_logger();
    spdlog::set_default_logger(std::move(logger));
  }
  ~ModelNoticesTest() override { spdlog::set_default_logger(former_logger_); }

  // What was logged since the last call.
  std::string TakeLog() {
    std::string text = log_.str();
    log_.str("");
    return text;
  }

  static CatalogOptions Options() {
    CatalogOptions options;
    options.models = {{.name = "m"}};
    options.fault_domains = {""};
    options.max_in_flight = {1};
    return options;
  }

  // A worker of the model with so many classes.
  void Serve(int64_t num_classes) {
    wire::Hello hello;
    hello.set_worker_id("w");
    wire::BundleInfo* const bundle = hello.add_bundles();
    bundle->set_sha256(std::string(32, static_cast<char>('0' + num_classes)));
    bundle->set_model("m");
    bundle->set_role(wire::DEPLOYED);
    *bundle->add_inputs() = wire::ToWire({"x", DataType::kFp32, {-1, 3}});
    *bundle->add_outputs() =
        wire::ToWire({"y", DataType::kFp32, {-1, num_classes}});
    catalog_.OnHello(WorkerId{0}, hello);
  }

  std::ostringstream log_;
  std::shared_ptr<spdlog::logger> former_logger_;
  std::vector<core::ModelOptions> models_ = {
      core::ModelOptions{.name = "m", .has_default_answer = true}};
  const std::vector<std::vector<float>> default_answers_ = {{1, 2}};
  ModelCatalog catalog_{Options()};
  ModelNotices notices_{models_, default_answers_};
};

TEST_F(ModelNoticesTest, TellsOfAMisfitDefaultOncePerBundle) {
  EXPECT_EQ(notices_.CheckDefaults(catalog_), 0U);
  Serve(/*num_classes=*/3);
  TakeLog();
  EXPECT_EQ(notices_.CheckDefaults(catalog_), 1U);
  EXPECT_THAT(TakeLog(), HasSubstr("error model 'm' has no default answer"));
  EXPECT_EQ(notices_.CheckDefaults(catalog_), 0U);
  Serve(/*num_classes=*/2);
  TakeLog();
  EXPECT_EQ(notices_.CheckDefaults(catalog_), 0U);
  EXPECT_THAT(TakeLog(), IsEmpty());
}

TEST_F(ModelNoticesTest, TellsOnceWhenReconstructionsStopAndReturn) {
  core::ModelCounters counters;
  notices_.NoteGate(kModel, counters);
  EXPECT_THAT(TakeLog(), IsEmpty());
  counters.gate_closed = 1;
  counters.agreement = 0.7;
  notices_.NoteGate(kModel, counters);
  EXPECT_EQ(TakeLog(),
            "error model 'm': reconstructions stop: late originals agree with "
            "0.700 of them, decode.min_agreement is 0.75\n");
  notices_.NoteGate(kModel, counters);
  EXPECT_THAT(TakeLog(), IsEmpty());
  counters.gate_opened = 1;
  counters.agreement = 0.8;
  notices_.NoteGate(kModel, counters);
  EXPECT_THAT(TakeLog(), HasSubstr("info model 'm': reconstructions are back"));
}

}  // namespace
}  // namespace parm
