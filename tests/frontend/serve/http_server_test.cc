#include "frontend/serve/http_server.h"

#include <cstring>
#include <string>
#include <utility>

#include "frontend/serve/content_coding.h"
#include "gtest/gtest.h"
#include "proto/oip/infer_request_codec.h"
#include "proto/oip/infer_response_codec.h"
#include "tests/frontend/serve/server_harness.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr auto kFailedPrecondition = absl::StatusCode::kFailedPrecondition;

std::string Text(const Buffer& buffer, size_t offset = 0) {
  return std::string(
      reinterpret_cast<const char*>(buffer.bytes().data()) + offset,
      buffer.size() - offset);
}

absl::StatusOr<oip::InferResponse> ParseReply(const RawReply& reply) {
  oip::Body body = oip::BodyOf(reply.body);
  const auto length = reply.headers.find("inference-header-content-length");
  if (length != reply.headers.end())
    body.json_bytes = std::stoul(length->second);
  return oip::InferResponseParser().Parse(body);
}

/// JSON and tensor of a request for one row of four floats.
struct BinaryRequest {
  std::string json;
  std::string tensor;
  std::string Headers() const {
    return absl::StrCat("Inference-Header-Content-Length: ", json.size(),
                        "\r\n");
  }
};

BinaryRequest MakeBinary(const std::string& rest = "") {
  const float values[] = {1, 2, 3, 4.5F};
  return {.json = absl::StrCat(
              R"({"inputs":[{"name":"INPUT","datatype":"FP32","shape":[1,4],)",
              R"("parameters":{"binary_data_size":16}}])", rest, "}"),
          .tensor = std::string(reinterpret_cast<const char*>(values), 16)};
}

TEST(HttpServerTest, AnswersEveryGetEndpoint) {
  ServerHarness harness;
  RawHttpClient client(harness.port());
  const std::pair<const char*, const char*> cases[] = {
      {"/v2", R"({"name":"parm","version":"0.1.0","extensions":[)"
              R"("binary_tensor_data","parameters","model_configuration",)"
              R"("statistics"]})"},
      {"/v2/health/live", R"({"live":true})"},
      {"/v2/health/ready", R"({"ready":true})"},
      {"/v2/models", R"({"models":["echo"]})"},
      {"/v2/models/echo/ready", ""},
      {"/v2/models/echo/versions/1/ready", ""},
      {"/v2/models/echo",
       R"({"name":"echo","versions":["1"],"platform":"parm_test",)"
       R"("inputs":[{"name":"INPUT","datatype":"FP32","shape":[-1,4]}],)"
       R"("outputs":[{"name":"OUTPUT","datatype":"FP32","shape":[-1,4]},)"
       R"({"name":"COUNT","datatype":"INT32","shape":[-1,1]}]})"},
      {"/v2/models/echo/config",
       R"({"name":"echo","platform":"parm_test","backend":"",)"
       R"("max_batch_size":8,)"
       R"("input":[{"name":"INPUT","data_type":"TYPE_FP32","dims":[4]}],)"
       R"("output":[{"name":"OUTPUT","data_type":"TYPE_FP32","dims":[4]},)"
       R"({"name":"COUNT","data_type":"TYPE_INT32","dims":[1]}],)"
       R"("model_transaction_policy":{"decoupled":false}})"}};
  for (const auto& [target, body] : cases) {
    SCOPED_TRACE(target);
    const RawReply reply = client.Ask(Request("GET", target));
    EXPECT_EQ(reply.status, 200);
    EXPECT_EQ(reply.body, body);
    if (*body != '\0') {
      EXPECT_EQ(reply.headers.at("content-type"), "application/json");
    }
  }
}

TEST(HttpServerTest, SaysWhenItIsNotReady) {
  ServerHarness harness;
  harness.OnLoop([&] { harness.service().ready = false; });
  RawHttpClient client(harness.port());
  EXPECT_EQ(client.Ask(Request("GET", "/v2/health/live")).status, 200);
  for (const char* target : {"/v2/health/ready", "/v2/models/echo/ready"}) {
    const RawReply reply = client.Ask(Request("GET", target));
    EXPECT_EQ(reply.status, 503) << target;
    EXPECT_THAT(reply.body, HasSubstr("not ready"));
  }
  harness.OnLoop([&] { harness.service().told = false; });
  EXPECT_EQ(client.Ask(Request("GET", "/v2/models/echo")).status, 503);
}

TEST(HttpServerTest, TellsStatisticsOfOneModelOrAll) {
  ServerHarness harness;
  RawHttpClient client(harness.port());
  for (const char* target : {"/v2/models/stats", "/v2/models/echo/stats",
                             "/v2/models/echo/versions/1/stats"}) {
    const RawReply reply = client.Ask(Request("GET", target));
    EXPECT_EQ(reply.status, 200) << target;
    EXPECT_THAT(reply.body, HasSubstr(R"("inference_count":5)"));
    EXPECT_THAT(reply.body, HasSubstr(R"("success":{"count":4,"ns":400})"));
  }
  EXPECT_EQ(client.Ask(Request("GET", "/v2/models/other/stats")).status, 404);
}

TEST(HttpServerTest, ListsModelsInTheRepositoryIndex) {
  ServerHarness harness;
  RawHttpClient client(harness.port());
  const auto index = [&](const std::string& body) {
    return client.Ask(Request("POST", "/v2/repository/index", "", body));
  };
  EXPECT_EQ(index("").body,
            R"([{"name":"echo","version":"1","state":"READY","reason":""}])");
  harness.OnLoop([&] { harness.service().ready = false; });
  EXPECT_THAT(index("{}").body, HasSubstr("UNAVAILABLE"));
  EXPECT_EQ(index(R"({"ready":true})").body, "[]");
  EXPECT_EQ(index("[]").status, 400);
}

TEST(HttpServerTest, RefusesUnknownPathsAndVerbs) {
  ServerHarness harness;
  RawHttpClient client(harness.port());
  for (const char* target :
       {"/", "/v1/models", "/v2/models/echo/explain", "/metrics",
        "/v2/models/echo/versions/1/infer/x", "/v2/health", "/v2/logging"}) {
    const RawReply reply = client.Ask(Request("GET", target));
    EXPECT_EQ(reply.status, 404) << target;
    EXPECT_EQ(reply.body, R"({"error":"Not Found"})");
  }
  RawReply reply = client.Ask(Request("GET", kInferTarget));
  EXPECT_EQ(reply.status, 405);
  EXPECT_EQ(reply.headers.at("allow"), "POST");
  reply = client.Ask(Request("DELETE", "/v2"));
  EXPECT_EQ(reply.status, 405);
  EXPECT_EQ(reply.headers.at("allow"), "GET, HEAD");
  EXPECT_EQ(client.Ask(Request("GET", "/v2/models/%4")).status, 400);
  EXPECT_EQ(client.Ask(Request("GET", "/v2/systemsharedmemory/status")).status,
            501);
  EXPECT_EQ(client.Ask(Request("GET", "/v2/models/nope")).status, 404);
}

TEST(HttpServerTest, DecodesPathsAndIgnoresQueries) {
  ServerHarness harness;
  RawHttpClient client(harness.port());
  EXPECT_EQ(client.Ask(Request("GET", "/v2/models/%65cho?a=b&c")).status, 200);
  EXPECT_EQ(client.Ask(Request("GET", "http://test/v2")).status, 200);
  // Bytes that are not UTF-8 come back in a sentence that is.
  const RawReply reply = client.Ask(Request("GET", "/v2/models/%FFx"));
  EXPECT_EQ(reply.status, 404);
  EXPECT_THAT(reply.body, HasSubstr("'?x'"));
}

TEST(HttpServerTest, SeesThroughTricksWithPathsAndVerbs) {
  struct Case {
    std::string verb;
    std::string target;
    int status;
  };
  const Case cases[] = {
      // A name is what stands between two slashes, decoded once.
      {"GET", "/v2/models/%2e%2e", 404},
      {"GET", "/v2/models/echo%2Fready", 404},
      {"GET", "/v2/models/echo%00", 404},
      {"GET", "/v2/models/%2565cho", 404},
      {"GET", "/v2/models/echo%3Fx", 404},
      {"GET", "/v2/models/echo%0d%0aX:%20y", 404},
      {"GET", "/v2/models/%", 400},
      {"GET", "/v2/models/%zz", 400},
      {"GET", "/v2/models/" + std::string(2000, 'a'), 404},
      {"GET", "/v2/../v2", 404},
      {"GET", "/%76%32", 404},
      {"GET", "*", 404},
      {"GET", "HTTPS://test/v2?x=/v2/models/echo", 200},
      {"GET", "//v2//models//echo/", 200},
      {"OPTIONS", "*", 404},
      {"CONNECT", "test:80", 404},
      {"TRACE", "/v2", 405},
      {"PATCH", kInferTarget, 405},
      {"get", "/v2", 405},
      {"POST", "/v2/health/live", 405}};
  ServerHarness harness;
  RawHttpClient client(harness.port());
  uint64_t num_refused = 0;
  for (const Case& trick : cases) {
    SCOPED_TRACE(trick.verb + " " + trick.target);
    // With a body, which must not be taken for the next request.
    const RawReply reply = client.Ask(
        Request(trick.verb, trick.target, "", "GET /v2/x HTTP/1.1\r\n\r\n"));
    EXPECT_EQ(reply.status, trick.status) << reply.body;
    EXPECT_EQ(reply.headers.count("x"), 0u);
    num_refused += trick.status >= 400 ? 1 : 0;
  }
  const HttpCounters counters = harness.Counters();
  uint64_t num_counted = 0;
  for (const auto& by_class : counters.replies) num_counted += by_class[4];
  EXPECT_EQ(num_counted, num_refused);
  EXPECT_EQ(counters.connections_accepted, 1u);
}

TEST(HttpServerTest, AnswersHeadWithoutABody) {
  ServerHarness harness;
  RawHttpClient client(harness.port());
  ASSERT_TRUE(client.Send(Request("HEAD", "/v2")));
  const RawReply reply = client.ReadReply(/*has_body=*/false);
  EXPECT_EQ(reply.status, 200);
  EXPECT_NE(reply.headers.at("content-length"), "0");
  EXPECT_EQ(client.Ask(Request("GET", "/v2/health/live")).status, 200);
}

TEST(HttpServerTest, InfersFromJsonToJson) {
  ServerHarness harness;
  harness.OnLoop([&] { harness.service().confidence = 0.75F; });
  RawHttpClient client(harness.port());
  const RawReply reply = client.Ask(InferRequestText());
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body,
            R"({"model_name":"echo","model_version":"1",)"
            R"("parameters":{"parm_source":"exact","parm_confidence":0.75},)"
            R"("outputs":[{"name":"OUTPUT","datatype":"FP32","shape":[1,4],)"
            R"("data":[1,2,3,4.5]},{"name":"COUNT","datatype":"INT32",)"
            R"("shape":[1,1],"data":[4]}]})");
  EXPECT_EQ(reply.headers.at("content-type"), "application/json");
  EXPECT_EQ(reply.headers.count("inference-header-content-length"), 0u);
  EXPECT_EQ(reply.headers.at("x-parm-source"), "exact");
  EXPECT_EQ(reply.headers.at("x-parm-confidence"), "0.75");
}

TEST(HttpServerTest, InfersFromBinaryToBinary) {
  ServerHarness harness;
  RawHttpClient client(harness.port());
  const BinaryRequest binary =
      MakeBinary(R"(,"id":"7","parameters":{"binary_data_output":true})");
  const RawReply reply = client.Ask(
      InferRequestText(binary.Headers(), binary.json + binary.tensor));
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.headers.at("content-type"), "application/octet-stream");
  EXPECT_EQ(reply.headers.count("x-parm-confidence"), 0u);
  PARM_ASSERT_OK_AND_ASSIGN(const oip::InferResponse response,
                            ParseReply(reply));
  EXPECT_EQ(response.id, "7");
  ASSERT_EQ(response.outputs.size(), 2u);
  EXPECT_EQ(Text(response.outputs[0].data), binary.tensor);
}

TEST(HttpServerTest, FiltersAndOrdersRequestedOutputs) {
  ServerHarness harness;
  RawHttpClient client(harness.port());
  const BinaryRequest binary = MakeBinary(
      R"(,"outputs":[{"name":"COUNT","parameters":{"binary_data":true}},)"
      R"({"name":"OUTPUT"}])");
  RawReply reply = client.Ask(
      InferRequestText(binary.Headers(), binary.json + binary.tensor));
  PARM_ASSERT_OK_AND_ASSIGN(const oip::InferResponse response,
                            ParseReply(reply));
  ASSERT_EQ(response.outputs.size(), 2u);
  EXPECT_EQ(response.outputs[0].spec.name, "COUNT");
  EXPECT_EQ(response.outputs[1].spec.name, "OUTPUT");
  EXPECT_EQ(Text(response.outputs[1].data), binary.tensor);

  const BinaryRequest wrong = MakeBinary(R"(,"outputs":[{"name":"NOPE"}])");
  reply =
      client.Ask(InferRequestText(wrong.Headers(), wrong.json + wrong.tensor));
  EXPECT_EQ(reply.status, 400);
  EXPECT_THAT(reply.body, HasSubstr("NOPE"));
}

TEST(HttpServerTest, InfersFromARawBinaryBody) {
  ServerHarness harness;
  RawHttpClient client(harness.port());
  const std::string tensor(32, '\0');
  const RawReply reply = client.Ask(
      InferRequestText("Inference-Header-Content-Length: 0\r\n", tensor));
  EXPECT_EQ(reply.status, 200);
  PARM_ASSERT_OK_AND_ASSIGN(const oip::InferResponse response,
                            ParseReply(reply));
  EXPECT_THAT(response.outputs[0].spec.shape, ElementsAre(2, 4));
  EXPECT_EQ(client
                .Ask(InferRequestText("Inference-Header-Content-Length: 0\r\n",
                                      "12345"))
                .status,
            400);
}

TEST(HttpServerTest, TakesVersionFromThePath) {
  ServerHarness harness;
  RawHttpClient client(harness.port());
  const std::string target = "/v2/models/echo/versions/1/infer";
  EXPECT_EQ(client.Ask(Request("POST", target, "", kGoodJson)).status, 200);
  EXPECT_EQ(harness.OnLoop(
                [&] { return harness.service().last_request.model_version; }),
            "1");
  EXPECT_EQ(client
                .Ask(Request("POST", "/v2/models/echo/versions/2/infer", "",
                             kGoodJson))
                .status,
            404);
}

TEST(HttpServerTest, PassesParametersThrough) {
  ServerHarness harness;
  RawHttpClient client(harness.port());
  const BinaryRequest binary = MakeBinary(
      R"(,"parameters":{"parm_mode":"fast","parm_deadline_us":1000})");
  EXPECT_EQ(
      client
          .Ask(InferRequestText(binary.Headers(), binary.json + binary.tensor))
          .status,
      200);
  const oip::Parameters want = {{"parm_mode", "fast"},
                                {"parm_deadline_us", int64_t{1000}}};
  EXPECT_EQ(
      harness.OnLoop([&] { return harness.service().last_request.parameters; }),
      want);
}

TEST(HttpServerTest, GivesTheTraceparentBackAndOn) {
  const std::string good =
      "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  ServerHarness harness;
  RawHttpClient client(harness.port());
  const auto ask = [&](const std::string& value) {
    return client.Ask(InferRequestText("Traceparent: " + value + "\r\n"));
  };
  EXPECT_EQ(ask(good).headers.at("traceparent"), good);
  EXPECT_THAT(
      harness.OnLoop([&] { return harness.service().last_request.headers; }),
      HasSubstr("Traceparent: " + good + "\r\n"));
  // Nothing else comes back, whatever it is.
  for (const std::string& bad :
       {std::string("x"), good + "0", good.substr(0, 54) + "G",
        good.substr(0, 2) + "x" + good.substr(3)}) {
    EXPECT_EQ(ask(bad).headers.count("traceparent"), 0u) << bad;
  }
  EXPECT_EQ(client.Ask(InferRequestText()).headers.count("traceparent"), 0u);
  harness.OnLoop(
      [&] { harness.service().failure = absl::UnavailableError("none"); });
  EXPECT_EQ(ask(good).headers.at("traceparent"), good);
}

TEST(HttpServerTest, RefusesBadInferenceRequestsWithASentence) {
  ServerHarness harness;
  RawHttpClient client(harness.port());
  struct Case {
    const char* name;
    int status;
    std::string request;
    const char* sentence;
  };
  const BinaryRequest binary = MakeBinary();
  const Case cases[] = {
      {"no body", 400, InferRequestText("", ""), "no JSON"},
      {"no json", 400, InferRequestText("", "hello"), "not valid JSON"},
      {"too deep", 400,
       InferRequestText("", std::string(200, '[') + std::string(200, ']')),
       "too deeply"},
      {"short binary", 400,
       InferRequestText(binary.Headers(), binary.json + "123"), "more than"},
      {"long binary", 400,
       InferRequestText(binary.Headers(), binary.json + binary.tensor + "1"),
       "bytes more"},
      {"length header beyond body", 400,
       InferRequestText("Inference-Header-Content-Length: 9999\r\n"),
       "more than the body"},
      {"wrong name", 400,
       InferRequestText("", R"({"inputs":[{"name":"X","datatype":"FP32",
                                "shape":[1,4],"data":[1,2,3,4]}]})"),
       "unknown input"},
      {"wrong shape", 400,
       InferRequestText("", R"({"inputs":[{"name":"INPUT","datatype":"FP32",
                                "shape":[4],"data":[1,2,3,4]}]})"),
       "shape"},
      {"wrong datatype", 400,
       InferRequestText("", R"({"inputs":[{"name":"INPUT","datatype":"INT8",
                                "shape":[1,4],"data":[1,2,3,4]}]})"),
       "INT8"},
      {"no inputs", 400, InferRequestText("", R"({"inputs":[]})"), "number"},
      {"reserved key", 400,
       InferRequestText("", R"({"inputs":[],"parameters":{"triton_a":1}})"),
       "reserved"},
      {"classification", 501,
       InferRequestText("", R"({"inputs":[],"outputs":[{"name":"OUTPUT",
                                "parameters":{"classification":1}}]})"),
       "classification"},
      {"unknown encoding", 501, InferRequestText("Content-Encoding: br\r\n"),
       "Content-Encoding"},
      {"not gzip", 400, InferRequestText("Content-Encoding: gzip\r\n"),
       "not valid gzip"}};
  for (const Case& bad : cases) {
    SCOPED_TRACE(bad.name);
    const RawReply reply = client.Ask(bad.request);
    EXPECT_EQ(reply.status, bad.status);
    EXPECT_THAT(reply.body, HasSubstr(R"({"error":")"));
    EXPECT_THAT(reply.body, HasSubstr(bad.sentence));
    EXPECT_EQ(reply.headers.count("x-parm-source"), 0u);
    if (bad.status == 501 && bad.sentence[0] == 'C') {
      EXPECT_EQ(reply.headers.at("accept-encoding"), "gzip, deflate");
    }
  }
  EXPECT_EQ(client.Ask(InferRequestText()).status, 200);
  EXPECT_EQ(harness.Counters().rejected_bodies, 10u);
}

TEST(HttpServerTest, MapsServiceErrorsToHttp) {
  ServerHarness harness;
  RawHttpClient client(harness.port());
  const std::pair<absl::Status, int> cases[] = {
      {absl::InvalidArgumentError("a sentence"), 400},
      {absl::NotFoundError("a sentence"), 404},
      {absl::InternalError("a sentence"), 500},
      {absl::UnknownError("a sentence"), 500},
      {absl::UnimplementedError("a sentence"), 501},
      {absl::UnavailableError("a sentence"), 503},
      {absl::ResourceExhaustedError("a sentence"), 503},
      {absl::DeadlineExceededError("a sentence"), 504}};
  for (const auto& [status, http_status] : cases) {
    SCOPED_TRACE(status.ToString());
    harness.OnLoop([&, &failure = status] {
      harness.service().failure = failure;
      harness.service().retry_after_s = 3;
    });
    const RawReply reply = client.Ask(InferRequestText());
    EXPECT_EQ(reply.status, http_status);
    EXPECT_EQ(reply.body, R"({"error":"a sentence"})");
    EXPECT_EQ(reply.headers.count("retry-after"), http_status == 503 ? 1u : 0u);
  }
  const HttpCounters counters = harness.Counters();
  const auto& infer = counters.replies[static_cast<size_t>(Endpoint::kInfer)];
  EXPECT_EQ(infer[4], 2u);
  EXPECT_EQ(infer[5], 6u);
}

TEST(HttpServerTest, DecompressesRequestsAndCompressesReplies) {
  constexpr int kNumValues = 1000;
  ServerHarness harness({}, kNumValues);
  RawHttpClient client(harness.port());
  const std::string tensor(kNumValues * sizeof(float), '\0');
  const std::string json = absl::StrCat(
      R"({"parameters":{"binary_data_output":true},"inputs":[{"name":"INPUT",)",
      R"("datatype":"FP32","shape":[1,1000],"parameters":)",
      R"({"binary_data_size":4000}}]})");
  for (const ContentCoding coding :
       {ContentCoding::kGzip, ContentCoding::kDeflate}) {
    const std::string name(ContentCodingName(coding));
    SCOPED_TRACE(name);
    const std::string body = Compress(coding, {.json = json + tensor});
    const RawReply reply = client.Ask(InferRequestText(
        absl::StrCat("Content-Encoding: ", name, "\r\nAccept-Encoding: ", name,
                     "\r\nInference-Header-Content-Length: ", json.size(),
                     "\r\n"),
        body));
    EXPECT_EQ(reply.status, 200);
    EXPECT_EQ(reply.headers.at("content-encoding"), name);
    oip::Body packed = oip::BodyOf(reply.body);
    packed.json_bytes =
        std::stoul(reply.headers.at("inference-header-content-length"));
    PARM_ASSERT_OK_AND_ASSIGN(const oip::Body plain,
                              Decompress(coding, packed, 1 << 20));
    PARM_ASSERT_OK_AND_ASSIGN(const oip::InferResponse response,
                              oip::InferResponseParser().Parse(plain));
    EXPECT_EQ(Text(response.outputs[0].data), tensor);
  }
  // Small replies stay plain.
  const RawReply plain =
      client.Ask(Request("GET", "/v2", "Accept-Encoding: gzip, deflate\r\n"));
  EXPECT_EQ(plain.headers.count("content-encoding"), 0u);
}

TEST(HttpServerTest, RefusesBodiesBeyondTheLimit) {
  ServerHarness harness({.max_body_bytes = 1000});
  {
    RawHttpClient client(harness.port());
    const RawReply reply =
        client.Ask(Request("POST", kInferTarget, "Content-Length: 1001\r\n"));
    EXPECT_EQ(reply.status, 413);
    EXPECT_THAT(reply.body, HasSubstr("got 1001 bytes, want at most 1000"));
    EXPECT_EQ(reply.headers.at("connection"), "close");
    EXPECT_TRUE(client.AtEnd());
  }
  RawHttpClient client(harness.port());
  const std::string bomb =
      Compress(ContentCoding::kGzip, {.json = std::string(100'000, ' ')});
  ASSERT_LT(bomb.size(), 1000u);
  const RawReply reply =
      client.Ask(InferRequestText("Content-Encoding: gzip\r\n", bomb));
  EXPECT_EQ(reply.status, 413);
  EXPECT_THAT(reply.body, HasSubstr("decompressed"));
  EXPECT_EQ(harness.Counters().rejected_frames, 1u);
  EXPECT_EQ(harness.Counters().rejected_bodies, 1u);
}

TEST(HttpServerTest, BoundsWhatTheLoopMustReadItself) {
  ServerHarness harness({.max_json_bytes = 200, .max_decompressed_bytes = 400});
  RawHttpClient client(harness.port());
  EXPECT_EQ(client.Ask(InferRequestText()).status, 200);
  const std::string json = kGoodJson + std::string(200, ' ');
  const RawReply large = client.Ask(InferRequestText("", json));
  EXPECT_EQ(large.status, 413);
  EXPECT_THAT(large.body, HasSubstr("want at most 200"));
  const RawReply bomb = client.Ask(InferRequestText(
      "Content-Encoding: gzip\r\n",
      Compress(ContentCoding::kGzip, {.json = std::string(401, ' ')})));
  EXPECT_EQ(bomb.status, 413);
  EXPECT_THAT(bomb.body, HasSubstr("want at most 400"));
  EXPECT_EQ(harness.Counters().rejected_bodies, 2u);
  // Tensors that come as bytes are no text.
  const std::string head =
      R"({"inputs":[{"name":"INPUT","datatype":"FP32","shape":[100,4],)"
      R"("parameters":{"binary_data_size":1600}}]})";
  EXPECT_EQ(client
                .Ask(InferRequestText(
                    absl::StrCat("Inference-Header-Content-Length: ",
                                 head.size(), "\r\n"),
                    head + std::string(1600, 'x')))
                .status,
            200);
}

TEST(HttpServerTest, SaysThatAPortIsInUse) {
  boost::asio::io_context io;
  FakeQueryService service(io, 4);
  PARM_ASSERT_OK_AND_ASSIGN(const auto first,
                            HttpServer::Create(io, {}, &service));
  EXPECT_THAT(HttpServer::Create(io, {.port = first->port()}, &service),
              StatusIs(kFailedPrecondition, HasSubstr("in use")));
}

TEST(HttpServerTest, RefusesOptionsThatMakeNoSense) {
  boost::asio::io_context io;
  FakeQueryService service(io, 4);
  for (const HttpOptions& options :
       {HttpOptions{.address = "localhost"}, HttpOptions{.max_connections = 0},
        HttpOptions{.max_pipelined = 0}, HttpOptions{.max_header_bytes = 10},
        HttpOptions{.max_body_bytes = 0},
        HttpOptions{.idle_timeout = Duration::zero()}}) {
    EXPECT_THAT(HttpServer::Create(io, options, &service),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

}  // namespace
}  // namespace parm
