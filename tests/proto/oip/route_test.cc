#include "proto/oip/route.h"

#include <string>

#include "gtest/gtest.h"

namespace parm::oip {
namespace {

TEST(ParseTargetTest, FindsEveryEndpoint) {
  struct Case {
    const char* target;
    Endpoint endpoint;
    const char* model;
    const char* version;
  };
  const Case cases[] = {
      {"/v2", Endpoint::kServerMetadata, "", ""},
      {"/v2/", Endpoint::kServerMetadata, "", ""},
      {"/v2?x=/v2/models", Endpoint::kServerMetadata, "", ""},
      {"/v2/health/live", Endpoint::kLive, "", ""},
      {"/v2/health/ready", Endpoint::kReady, "", ""},
      {"/v2/models", Endpoint::kModelNames, "", ""},
      {"/v2/models/m", Endpoint::kModelMetadata, "m", ""},
      {"/v2/models/m/versions/3", Endpoint::kModelMetadata, "m", "3"},
      {"/v2/models/m/ready", Endpoint::kModelReady, "m", ""},
      {"/v2/models/m/versions/3/ready", Endpoint::kModelReady, "m", "3"},
      {"/v2/models/m/config", Endpoint::kModelConfig, "m", ""},
      {"/v2/models/m/stats", Endpoint::kModelStatistics, "m", ""},
      {"/v2/models/m/versions/1/stats", Endpoint::kModelStatistics, "m", "1"},
      {"/v2/models/stats", Endpoint::kModelStatistics, "", ""},
      {"/v2/models/m/infer", Endpoint::kInfer, "m", ""},
      {"/v2/models/m/versions/3/infer", Endpoint::kInfer, "m", "3"},
      {"/v2/models/a%20b%2Fc/infer", Endpoint::kInfer, "a b/c", ""},
      {"/v2/models/versions/infer", Endpoint::kInfer, "versions", ""},
      {"/v2/repository/index", Endpoint::kRepositoryIndex, "", ""},
      {"/metrics", Endpoint::kMetrics, "", ""},
      {"http://host:80/v2/models/m", Endpoint::kModelMetadata, "m", ""}};
  for (const Case& wanted : cases) {
    SCOPED_TRACE(wanted.target);
    const Route route = ParseTarget(wanted.target);
    EXPECT_EQ(route.kind, Route::Kind::kFound);
    EXPECT_EQ(EndpointName(route.endpoint), EndpointName(wanted.endpoint));
    EXPECT_EQ(route.model, wanted.model);
    EXPECT_EQ(route.version, wanted.version);
  }
}

TEST(ParseTargetTest, FindsNothingElse) {
  for (const char* target :
       {"", "*", "/", "v1", "/v1/models", "/v2/health", "/v2/models/m/x",
        "/v2/models/m/versions", "/v2/models/m/infer/x",
        "/v2/models/m/versions/1/infer/x", "/v2/repository",
        "/v2/repository/models/m/load", "http://host", "/metrics/x"}) {
    EXPECT_EQ(ParseTarget(target).kind, Route::Kind::kNotFound) << target;
  }
  const std::string long_name(2000, 'a');
  EXPECT_EQ(ParseTarget("/v2/models/" + long_name).kind,
            Route::Kind::kNotFound);
  EXPECT_EQ(ParseTarget("/v2/cudasharedmemory/status").kind,
            Route::Kind::kSharedMemory);
}

TEST(ParseTargetTest, RefusesBrokenPercentEncoding) {
  for (const char* target : {"/v2/models/%", "/v2/models/%4", "/v2/models/%zz",
                             "/v2/models/m/versions/%4g/infer"}) {
    EXPECT_EQ(ParseTarget(target).kind, Route::Kind::kBadTarget) << target;
  }
}

TEST(HttpStatusTest, SaysEveryErrorInHttp) {
  EXPECT_EQ(HttpStatusOf(absl::StatusCode::kOk), 200);
  EXPECT_EQ(HttpStatusOf(absl::StatusCode::kInvalidArgument), 400);
  EXPECT_EQ(HttpStatusOf(absl::StatusCode::kNotFound), 404);
  EXPECT_EQ(HttpStatusOf(absl::StatusCode::kOutOfRange), 413);
  EXPECT_EQ(HttpStatusOf(absl::StatusCode::kResourceExhausted), 503);
  EXPECT_EQ(HttpStatusOf(absl::StatusCode::kDeadlineExceeded), 504);
  EXPECT_EQ(HttpStatusOf(absl::StatusCode::kDataLoss), 500);
}

TEST(PercentDecodeTest, DecodesEveryByte) {
  for (int byte = 0; byte < 256; ++byte) {
    constexpr char kHex[] = "0123456789ABCDEF";
    const std::string text = {'%', kHex[byte / 16], kHex[byte % 16]};
    std::string decoded;
    ASSERT_TRUE(PercentDecode(text, &decoded));
    EXPECT_EQ(decoded, std::string(1, static_cast<char>(byte)));
  }
}

}  // namespace
}  // namespace parm::oip
