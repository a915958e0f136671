#include "proto/oip/metadata_json.h"

#include <string>

#include "gtest/gtest.h"
#include "tests/support/matchers.h"

namespace parm::oip {
namespace {

constexpr auto kDataLoss = absl::StatusCode::kDataLoss;

ModelMetadata Model() {
  return {.name = "a \"b\"",
          .versions = {"1", "2"},
          .platform = "parm",
          .inputs = {{"x", DataType::kFp32, {-1, 28, 28}},
                     {"s", DataType::kBytes, {-1, 1}}},
          .outputs = {{"y", DataType::kInt64, {-1, 10}}},
          .max_batch_size = 4};
}

TEST(MetadataJsonTest, RoundTripsModelMetadata) {
  const ModelMetadata want = Model();
  PARM_ASSERT_OK_AND_ASSIGN(
      const ModelMetadata got,
      ParseModelMetadata(BodyOf(WriteModelMetadata(want))));
  EXPECT_EQ(got.name, want.name);
  EXPECT_EQ(got.versions, want.versions);
  EXPECT_EQ(got.platform, want.platform);
  EXPECT_EQ(got.inputs, want.inputs);
  EXPECT_EQ(got.outputs, want.outputs);
}

TEST(MetadataJsonTest, LeavesOutTheBatchInConfigDims) {
  ModelMetadata model = Model();
  EXPECT_EQ(
      WriteModelConfig(model),
      R"({"name":"a \"b\"","platform":"parm","backend":"","max_batch_size":4,)"
      R"("input":[{"name":"x","data_type":"TYPE_FP32","dims":[28,28]},)"
      R"({"name":"s","data_type":"TYPE_STRING","dims":[1]}],)"
      R"("output":[{"name":"y","data_type":"TYPE_INT64","dims":[10]}],)"
      R"("model_transaction_policy":{"decoupled":false}})");
  model.max_batch_size = 0;
  EXPECT_THAT(WriteModelConfig(model),
              ::testing::HasSubstr(R"("dims":[-1,28,28])"));
}

TEST(MetadataJsonTest, WritesEveryStatisticThatTritonHas) {
  const ModelStatistics model = {.name = "m",
                                 .version = "1",
                                 .last_inference_ms = 2,
                                 .inferences = 3,
                                 .executions = 4,
                                 .success = {.count = 5, .ns = 6},
                                 .fail = {.count = 7, .ns = 8},
                                 .queue = {.count = 9, .ns = 10}};
  EXPECT_EQ(
      WriteStatistics({model}),
      R"({"model_stats":[{"name":"m","version":"1","last_inference":2,)"
      R"("inference_count":3,"execution_count":4,"inference_stats":{)"
      R"("success":{"count":5,"ns":6},"fail":{"count":7,"ns":8},)"
      R"("queue":{"count":9,"ns":10},"compute_input":{"count":0,"ns":0},)"
      R"("compute_infer":{"count":0,"ns":0},)"
      R"("compute_output":{"count":0,"ns":0},)"
      R"("cache_hit":{"count":0,"ns":0},"cache_miss":{"count":0,"ns":0}},)"
      R"("batch_stats":[],"memory_usage":[],"response_stats":{}}]})");
  EXPECT_EQ(WriteStatistics({}), R"({"model_stats":[]})");
}

TEST(MetadataJsonTest, RefusesMalformedMetadata) {
  const char* cases[] = {
      "",
      "[]",
      "{}",
      R"({"name":1})",
      R"({"name":"m","versions":1})",
      R"({"name":"m","versions":[1]})",
      R"({"name":"m","inputs":{}})",
      R"({"name":"m","inputs":[1]})",
      R"({"name":"m","inputs":[{"name":"x"}]})",
      R"({"name":"m","inputs":[{"name":"x","datatype":"FP32"}]})",
      R"({"name":"m","inputs":[{"name":"x","datatype":"FP99","shape":[]}]})",
      R"({"name":"m","inputs":[{"name":"x","datatype":"FP32","shape":[-2]}]})"};
  for (const char* json : cases) {
    EXPECT_THAT(ParseModelMetadata(BodyOf(json)), StatusIs(kDataLoss)) << json;
  }
  EXPECT_THAT(
      ParseModelMetadata(BodyOf(R"({"name":"long"})"), {.max_json_bytes = 4}),
      StatusIs(kDataLoss));
}

TEST(MetadataJsonTest, ReadsWhatAServerSaysOfItself) {
  PARM_ASSERT_OK_AND_ASSIGN(
      const ServerMetadata server,
      ParseServerMetadata(BodyOf(WriteServerMetadata("a", "1", {"b", "c"}))));
  EXPECT_EQ(server.name, "a");
  EXPECT_EQ(server.version, "1");
  EXPECT_EQ(server.extensions, (std::vector<std::string>{"b", "c"}));
  PARM_ASSERT_OK_AND_ASSIGN(
      const ServerMetadata none,
      ParseServerMetadata(BodyOf(R"({"name":null,"extensions":null})")));
  EXPECT_EQ(none.name, "");
  for (const char* text : {"", "[]", R"({"name":1})", R"({"extensions":"b"})",
                           R"({"extensions":[1]})"}) {
    SCOPED_TRACE(text);
    EXPECT_THAT(ParseServerMetadata(BodyOf(text)), StatusIs(kDataLoss));
  }
}

TEST(MetadataJsonTest, QuotesErrorsSafely) {
  EXPECT_EQ(WriteError("got '\"\n'"), R"({"error":"got '\"\n'"})");
  EXPECT_EQ(WriteError("\xFF\xC3"), R"({"error":"??"})");
  EXPECT_EQ(WriteError("\xC3\xA9"), "{\"error\":\"\xC3\xA9\"}");
  EXPECT_EQ(ParseError(WriteError("a \"sentence\"")), "a \"sentence\"");
}

TEST(MetadataJsonTest, TakesAnyTextAsAnError) {
  EXPECT_EQ(ParseError("<html>"), "<html>");
  EXPECT_EQ(ParseError(R"({"detail":"x"})"), R"({"detail":"x"})");
  EXPECT_EQ(ParseError(std::string(5000, 'x')).size(), 1000u);
}

TEST(MetadataJsonTest, ReadsTheReadyFilter) {
  EXPECT_THAT(ParseReadyFilter(Body()), IsOkAndHolds(false));
  EXPECT_THAT(ParseReadyFilter(BodyOf("{}")), IsOkAndHolds(false));
  EXPECT_THAT(ParseReadyFilter(BodyOf(R"({"ready":true})")),
              IsOkAndHolds(true));
  EXPECT_THAT(ParseReadyFilter(BodyOf(R"({"ready":1})")),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace parm::oip
