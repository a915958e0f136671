#include "frontend/upstream/oip/server_dialect.h"

#include <initializer_list>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "frontend/upstream/oip/reply_translation.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(ServerUrlTest, TakesUrlsApart) {
  PARM_ASSERT_OK_AND_ASSIGN(const ServerUrl plain,
                            ParseServerUrl("http://triton.local:8000"));
  EXPECT_EQ(plain.host, "triton.local");
  EXPECT_EQ(plain.port, 8000);
  EXPECT_EQ(plain.base, "");
  EXPECT_EQ(plain.host_header, "triton.local:8000");
  PARM_ASSERT_OK_AND_ASSIGN(const ServerUrl based,
                            ParseServerUrl("http://[::1]/serving/a/"));
  EXPECT_EQ(based.host, "::1");
  EXPECT_EQ(based.port, 80);
  EXPECT_EQ(based.base, "/serving/a");
  EXPECT_EQ(based.host_header, "[::1]");
  EXPECT_EQ(based.protocol, ServerProtocol::kHttp);
  PARM_ASSERT_OK_AND_ASSIGN(const ServerUrl grpc,
                            ParseServerUrl("grpc://triton.local:8001"));
  EXPECT_EQ(grpc.protocol, ServerProtocol::kGrpc);
  EXPECT_EQ(grpc.host, "triton.local");
  EXPECT_EQ(grpc.port, 8001);
}

TEST(ServerUrlTest, RefusesWhatIsNoServerUrl) {
  for (const char* url :
       {"", "https://a", "http://", "http://:80", "http://a:", "http://a:0",
        "http://a:65536", "http://a:x", "http://a?b", "http://u@a",
        "http://a/b c", "http://[::1", "http://[::1]x", "http://a\r\nB: c",
        "grpc://a", "grpc://a:1/b", "grpcs://a:1"}) {
    SCOPED_TRACE(url);
    EXPECT_THAT(ParseServerUrl(url),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST(ServerDialectTest, KnowsServersByWhatTheySay) {
  const auto binary = [](const std::string& metadata) {
    return DialectOf(ServerKind::kAuto, oip::BodyOf(metadata)).binary;
  };
  EXPECT_TRUE(binary(R"({"name":"triton","extensions":[]})"));
  EXPECT_TRUE(binary(R"({"name":"kserve","version":"0.21"})"));
  EXPECT_TRUE(binary(R"({"name":"x","extensions":["binary_tensor_data"]})"));
  EXPECT_FALSE(binary(R"({"name":"mlserver","extensions":[]})"));
  EXPECT_FALSE(binary(R"({"name":null})"));
  EXPECT_FALSE(binary("no JSON"));
}

TEST(ServerDialectTest, BelievesTheConfigurationFirst) {
  const oip::Body triton = oip::BodyOf(R"({"name":"triton"})");
  const ServerDialect dialect = DialectOf(ServerKind::kMlserver, triton);
  EXPECT_FALSE(dialect.binary);
  EXPECT_EQ(ServerKindName(dialect.kind), "mlserver");
}

TEST(ServerDialectTest, WritesNamesAsPathSegments) {
  EXPECT_EQ(ModelPath({.server_name = "a/b c", .version = "1"}),
            "/v2/models/a%2Fb%20c/versions/1");
  EXPECT_EQ(ModelPath({.server_name = "r\xC3\xA9seau-1.0_x~"}),
            "/v2/models/r%C3%A9seau-1.0_x~");
}

TEST(ServerDialectTest, WritesBinaryOrJsonAsTheServerTakes) {
  PARM_ASSERT_OK_AND_ASSIGN(const ServerUrl url,
                            ParseServerUrl("http://h:1/base"));
  oip::InferRequest request;
  request.inputs.push_back(
      {.spec = {.name = "x", .datatype = DataType::kUint8, .shape = {1, 2}},
       .data = Buffer::FromString("\x01\x02")});
  request.binary_outputs = true;
  request.headers = "authorization: a\r\n";
  PARM_ASSERT_OK_AND_ASSIGN(
      const ServerRequest binary,
      InferRequestTo(url, "/v2/models/m", {.binary = true}, request));
  EXPECT_THAT(
      binary.head,
      AllOf(HasSubstr("POST /base/v2/models/m/infer HTTP/1.1\r\nHost: h:1\r\n"),
            HasSubstr("\r\nauthorization: a\r\n"),
            HasSubstr("Content-Type: application/octet-stream\r\n"),
            HasSubstr(absl::StrCat("Inference-Header-Content-Length: ",
                                   binary.json.size(), "\r\n")),
            HasSubstr(absl::StrCat("Content-Length: ", binary.json.size() + 2,
                                   "\r\n"))));
  EXPECT_EQ(binary.tensors.size(), 1U);
  request.binary_outputs = false;
  PARM_ASSERT_OK_AND_ASSIGN(
      const ServerRequest json,
      InferRequestTo(url, "/v2/models/m", {.binary = false}, request));
  EXPECT_THAT(json.head,
              AllOf(HasSubstr("Content-Type: application/json\r\n"),
                    Not(HasSubstr("Inference-Header-Content-Length"))));
  EXPECT_THAT(json.json, HasSubstr(R"("data":[1,2])"));
  EXPECT_TRUE(json.tensors.empty());
}

TEST(ServerDialectTest, RefusesWhatJsonCannotSay) {
  PARM_ASSERT_OK_AND_ASSIGN(const ServerUrl url, ParseServerUrl("http://h"));
  oip::InferRequest request;
  request.inputs.push_back(
      {.spec = {.name = "x", .datatype = DataType::kFp16, .shape = {1}},
       .data = Buffer::FromString("ab")});
  EXPECT_THAT(InferRequestTo(url, "/v2/models/m", {.binary = false}, request),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(ReplyTranslationTest, TellsTheClientsFaultFromTheServers) {
  struct Case {
    int status;
    const char* error;
    absl::StatusCode code;
    bool retryable;
  };
  for (const Case& c : {
           Case{400, "bad shape", absl::StatusCode::kInvalidArgument, false},
           {422, "no", absl::StatusCode::kInvalidArgument, false},
           {400, "Request for unknown model: 'm' is not found",
            absl::StatusCode::kUnavailable, true},
           {403, "no", absl::StatusCode::kPermissionDenied, false},
           {404, "no", absl::StatusCode::kNotFound, true},
           {413, "no", absl::StatusCode::kOutOfRange, false},
           {501, "no", absl::StatusCode::kUnimplemented, false},
           {429, "no", absl::StatusCode::kUnavailable, true},
           {503, "no", absl::StatusCode::kUnavailable, true},
           {504, "no", absl::StatusCode::kDeadlineExceeded, true},
           {500, "no", absl::StatusCode::kInternal, true},
           {302, "no", absl::StatusCode::kInternal, false},
       }) {
    SCOPED_TRACE(c.status);
    const ServerVerdict verdict = VerdictOf(c.status, c.error);
    EXPECT_EQ(verdict.code, c.code);
    EXPECT_EQ(verdict.retryable, c.retryable);
  }
}

TEST(ReplyTranslationTest, TellsTheClientsFaultFromTheServersOverGrpc) {
  struct Case {
    absl::StatusCode said;
    const char* error;
    absl::StatusCode code;
    bool retryable;
  };
  for (const Case& c : std::initializer_list<Case>{
           {absl::StatusCode::kInvalidArgument, "unexpected shape",
            absl::StatusCode::kInvalidArgument, false},
           {absl::StatusCode::kInvalidArgument, "model 'm' is not ready",
            absl::StatusCode::kUnavailable, true},
           {absl::StatusCode::kUnauthenticated, "no",
            absl::StatusCode::kPermissionDenied, false},
           {absl::StatusCode::kPermissionDenied, "no",
            absl::StatusCode::kPermissionDenied, false},
           {absl::StatusCode::kUnimplemented, "no",
            absl::StatusCode::kUnimplemented, false},
           {absl::StatusCode::kNotFound, "no", absl::StatusCode::kNotFound,
            true},
           {absl::StatusCode::kResourceExhausted,
            "Received message larger than max (5 vs. 4)",
            absl::StatusCode::kOutOfRange, false},
           {absl::StatusCode::kResourceExhausted, "busy",
            absl::StatusCode::kUnavailable, true},
           {absl::StatusCode::kUnavailable, "no",
            absl::StatusCode::kUnavailable, true},
           {absl::StatusCode::kDeadlineExceeded, "no",
            absl::StatusCode::kDeadlineExceeded, true},
           {absl::StatusCode::kInternal, "no", absl::StatusCode::kInternal,
            true},
           {absl::StatusCode::kUnknown, "no", absl::StatusCode::kInternal,
            true},
           {absl::StatusCode::kCancelled, "no", absl::StatusCode::kInternal,
            true},
       }) {
    SCOPED_TRACE(absl::StrCat(absl::StatusCodeToString(c.said), " ", c.error));
    const ServerVerdict verdict = VerdictOf(c.said, c.error);
    EXPECT_EQ(verdict.code, c.code);
    EXPECT_EQ(verdict.retryable, c.retryable);
  }
}

TEST(ReplyTranslationTest, TakesSuccessWithoutSenseForFailure) {
  ServerReplyCounters counters;
  std::string version;
  const WorkerReply reply = TranslateReply(
      TaskId{7}, "1",
      {.status = absl::DataLossError("no reply"), .retryable = true}, &counters,
      &version);
  EXPECT_EQ(reply.status, wire::ERROR);
  EXPECT_TRUE(reply.retryable);
  EXPECT_EQ(reply.error_code, absl::StatusCode::kInternal);
  EXPECT_EQ(counters.malformed, 1U);
  EXPECT_EQ(counters.failed, 0U);
}

TEST(ReplyTranslationTest, KeepsAnotherVersionsAnswerFromDecodes) {
  ServerReplyCounters counters;
  const auto translate = [&](const std::string& version) {
    std::string replied;
    ServerAnswer answer;
    answer.content = oip::InferResponse{
        .model_version = version,
        .outputs = {
            {.spec = {.name = "y", .datatype = DataType::kInt8, .shape = {1}},
             .data = Buffer::FromString("a")}}};
    const WorkerReply reply =
        TranslateReply(TaskId{7}, "1", std::move(answer), &counters, &replied);
    EXPECT_EQ(reply.status, wire::OK);
    EXPECT_EQ(reply.tensors.size(), 1U);
    return std::pair(reply.decodable, replied);
  };
  EXPECT_EQ(translate("1"), std::pair(true, std::string("1")));
  EXPECT_EQ(translate(""), std::pair(true, std::string()));
  EXPECT_EQ(translate("2"), std::pair(false, std::string("2")));
  EXPECT_EQ(counters.other_version, 1U);
  EXPECT_EQ(counters.ok, 3U);
}

}  // namespace
}  // namespace parm
