// GrpcServer over a service that a test steers: single calls, what asks about
// server and models, bounds, and the end. Streams: infer_stream_test.cc.

#include "frontend/serve/grpc/grpc_server.h"

#include <grpcpp/generic/generic_stub.h>

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "boost/asio/io_context.hpp"
#include "boost/asio/post.hpp"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/frontend/serve/grpc/grpc_harness.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using inference::ModelInferRequest;
using inference::ModelInferResponse;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::string Trailing(const grpc::ClientContext& context,
                     const std::string& key) {
  const auto& metadata = context.GetServerTrailingMetadata();
  const auto found = metadata.find(key);
  if (found == metadata.end()) return "";
  return {found->second.data(), found->second.size()};
}

grpc::Status Infer(GrpcHarness& harness, const ModelInferRequest& request,
                   ModelInferResponse* response) {
  grpc::ClientContext context;
  return harness.stub().ModelInfer(&context, request, response);
}

/// Sends bytes to a method by its name.
grpc::Status CallByName(GrpcHarness& harness, const std::string& method,
                        const std::string& bytes, std::string* reply) {
  grpc::GenericStub stub(harness.channel());
  grpc::ClientContext context;
  grpc::Slice slice(bytes);
  grpc::ByteBuffer request(&slice, 1);
  grpc::ByteBuffer response;
  std::promise<grpc::Status> ended;
  stub.UnaryCall(&context, method, {}, &request, &response,
                 [&](grpc::Status status) { ended.set_value(status); });
  grpc::Status status = ended.get_future().get();
  grpc::Slice whole;
  if (status.ok() && response.DumpToSingleSlice(&whole).ok()) {
    *reply = {reinterpret_cast<const char*>(whole.begin()), whole.size()};
  }
  return status;
}

/// What grpc.health.v1 says of the server: field 1 of its reply.
int Health(GrpcHarness& harness) {
  std::string reply;
  const grpc::Status status =
      CallByName(harness, "/grpc.health.v1.Health/Check", "", &reply);
  return status.ok() && reply.size() == 2 ? reply[1] : -1;
}
constexpr int kServing = 1;
constexpr int kNotServing = 2;

TEST(GrpcServerTest, AnswersAndLabelsACall) {
  GrpcHarness harness;
  harness.OnLoop([&] {
    harness.service().source = "reconstructed";
    harness.service().confidence = 0.75F;
  });
  const ModelInferRequest request = EchoRequest("mine");
  PendingInfer call(harness, request);
  ASSERT_TRUE(call.Wait().ok());
  EXPECT_EQ(call.response.model_name(), "echo");
  EXPECT_EQ(call.response.id(), "mine");
  ASSERT_EQ(call.response.outputs_size(), 2);
  EXPECT_EQ(call.response.raw_output_contents(0),
            request.raw_input_contents(0));
  EXPECT_EQ(call.response.parameters().at("parm_source").string_param(),
            "reconstructed");
  EXPECT_EQ(Trailing(call.context, "x-parm-source"), "reconstructed");
  EXPECT_EQ(Trailing(call.context, "x-parm-confidence"), "0.75");
}

TEST(GrpcServerTest, GivesTheTraceparentBack) {
  const std::string traceparent =
      "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  GrpcHarness harness;
  grpc::ClientContext context;
  context.AddMetadata("traceparent", traceparent);
  inference::ModelInferResponse response;
  ASSERT_TRUE(
      harness.stub().ModelInfer(&context, EchoRequest(), &response).ok());
  EXPECT_THAT(
      harness.OnLoop([&] { return harness.service().last_request.headers; }),
      ::testing::HasSubstr("traceparent: " + traceparent + "\r\n"));
  EXPECT_EQ(Trailing(context, "traceparent"), traceparent);
  grpc::ClientContext another;
  another.AddMetadata("traceparent", traceparent + "0");
  ASSERT_TRUE(
      harness.stub().ModelInfer(&another, EchoRequest(), &response).ok());
  EXPECT_EQ(Trailing(another, "traceparent"), "");
}

TEST(GrpcServerTest, GivesStatusCodesForEveryError) {
  GrpcHarness harness;
  const std::vector<std::pair<absl::StatusCode, grpc::StatusCode>> cases = {
      {absl::StatusCode::kInvalidArgument, grpc::StatusCode::INVALID_ARGUMENT},
      {absl::StatusCode::kPermissionDenied,
       grpc::StatusCode::PERMISSION_DENIED},
      {absl::StatusCode::kNotFound, grpc::StatusCode::NOT_FOUND},
      {absl::StatusCode::kOutOfRange, grpc::StatusCode::RESOURCE_EXHAUSTED},
      {absl::StatusCode::kUnimplemented, grpc::StatusCode::UNIMPLEMENTED},
      {absl::StatusCode::kUnavailable, grpc::StatusCode::UNAVAILABLE},
      {absl::StatusCode::kResourceExhausted, grpc::StatusCode::UNAVAILABLE},
      {absl::StatusCode::kDeadlineExceeded,
       grpc::StatusCode::DEADLINE_EXCEEDED},
      {absl::StatusCode::kInternal, grpc::StatusCode::INTERNAL},
      {absl::StatusCode::kDataLoss, grpc::StatusCode::INTERNAL}};
  for (const auto& [from, want] : cases) {
    harness.OnLoop([&] {
      harness.service().failure = absl::Status(from, "a sentence");
      harness.service().retry_after_s = 2;
    });
    PendingInfer call(harness, EchoRequest());
    const grpc::Status status = call.Wait();
    EXPECT_EQ(status.error_code(), want);
    EXPECT_EQ(status.error_message(), "a sentence");
    EXPECT_EQ(Trailing(call.context, "grpc-retry-pushback-ms"), "2000");
    EXPECT_EQ(Trailing(call.context, "x-parm-source"), "");
  }
}

TEST(GrpcServerTest, TellsStatisticsOfOneModelOrAll) {
  GrpcHarness harness;
  for (const char* name : {"", "echo"}) {
    grpc::ClientContext context;
    inference::ModelStatisticsRequest request;
    request.set_name(name);
    inference::ModelStatisticsResponse response;
    ASSERT_TRUE(
        harness.stub().ModelStatistics(&context, request, &response).ok());
    ASSERT_EQ(response.model_stats_size(), 1);
    const inference::ModelStatistics& model = response.model_stats(0);
    EXPECT_EQ(model.name(), "echo");
    EXPECT_EQ(model.version(), "1");
    EXPECT_EQ(model.last_inference(), 1000U);
    EXPECT_EQ(model.inference_count(), 5U);
    EXPECT_EQ(model.execution_count(), 3U);
    EXPECT_EQ(model.inference_stats().success().ns(), 400U);
    EXPECT_EQ(model.inference_stats().fail().count(), 2U);
    EXPECT_EQ(model.inference_stats().queue().ns(), 60U);
    EXPECT_TRUE(model.inference_stats().has_cache_miss());
  }
  grpc::ClientContext context;
  inference::ModelStatisticsRequest request;
  request.set_name("other");
  inference::ModelStatisticsResponse response;
  EXPECT_EQ(
      harness.stub().ModelStatistics(&context, request, &response).error_code(),
      grpc::StatusCode::NOT_FOUND);
}

TEST(GrpcServerTest, SurvivesBytesThatAreNoRequest) {
  GrpcHarness harness;
  std::string reply;
  for (const char* bytes : {"\x0a", "\x3a\xff\xff\xff\x7f", "garbage"}) {
    const grpc::Status status = CallByName(
        harness, "/inference.GRPCInferenceService/ModelInfer", bytes, &reply);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  }
  EXPECT_EQ(harness.counters().rejected_messages, 3U);
  ModelInferResponse response;
  EXPECT_TRUE(Infer(harness, EchoRequest(), &response).ok());
}

TEST(GrpcServerTest, HandsTheShorterDeadlineOn) {
  GrpcHarness harness;
  const auto deadline_us = [&](std::optional<int64_t> parameter,
                               std::chrono::seconds deadline) {
    ModelInferRequest request = EchoRequest();
    if (parameter) {
      (*request.mutable_parameters())["parm_deadline_us"].set_int64_param(
          *parameter);
    }
    grpc::ClientContext context;
    if (deadline.count() > 0) {
      context.set_deadline(std::chrono::system_clock::now() + deadline);
    }
    ModelInferResponse response;
    EXPECT_TRUE(harness.stub().ModelInfer(&context, request, &response).ok());
    return harness.OnLoop([&]() -> int64_t {
      const oip::Parameters& got = harness.service().last_request.parameters;
      EXPECT_LE(got.size(), 1U);
      return got.empty() ? 0 : std::get<int64_t>(got[0].second);
    });
  };
  using std::chrono::seconds;
  constexpr int64_t kHourUs = int64_t{3600} * 1'000'000;
  EXPECT_EQ(deadline_us({}, seconds(0)), 0);
  EXPECT_EQ(deadline_us(1000, seconds(0)), 1000);
  EXPECT_EQ(deadline_us(1000, seconds(3600)), 1000);
  for (const auto& parameter :
       {std::optional<int64_t>(), std::optional<int64_t>(2 * kHourUs)}) {
    const int64_t got = deadline_us(parameter, seconds(3600));
    // gRPC sends it with few digits, rounded up.
    EXPECT_LE(got, kHourUs + kHourUs / 10);
    EXPECT_GT(got, kHourUs / 2);
  }
}

TEST(GrpcServerTest, AbandonsACancelledCall) {
  GrpcHarness harness;
  harness.OnLoop([&] { harness.service().hold = true; });
  PendingInfer call(harness, EchoRequest());
  ASSERT_TRUE(harness.AwaitHeld(1));
  call.context.TryCancel();
  EXPECT_EQ(call.Wait().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(harness.AwaitAbandoned(1));
  EXPECT_EQ(harness.counters().abandoned, 1U);
}

TEST(GrpcServerTest, AbandonsACallWhoseDeadlinePasses) {
  GrpcHarness harness;
  harness.OnLoop([&] { harness.service().hold = true; });
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::milliseconds(200));
  ModelInferResponse response;
  EXPECT_EQ(harness.stub()
                .ModelInfer(&context, EchoRequest(), &response)
                .error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  // On a slow machine it may have passed before the service heard of it.
  EXPECT_TRUE(harness.Await([&] {
    return harness.counters().open_calls == 0 &&
           harness.service().held().empty();
  }));
}

TEST(GrpcServerTest, CarriesATensorOfEightMegabytes) {
  constexpr size_t kValues = size_t{2} << 20;
  GrpcHarness harness({}, kValues);
  const ModelInferRequest request = EchoRequest("", kValues);
  ModelInferResponse response;
  ASSERT_TRUE(Infer(harness, request, &response).ok());
  EXPECT_TRUE(response.raw_output_contents(0) == request.raw_input_contents(0));
}

TEST(GrpcServerTest, HandsOnWhatMetadataSays) {
  GrpcHarness harness;
  grpc::ClientContext context;
  context.AddMetadata("traceparent", "00-ab-cd-01");
  context.AddMetadata("x-b-bin", std::string("\0\1", 2));
  ModelInferResponse response;
  ASSERT_TRUE(
      harness.stub().ModelInfer(&context, EchoRequest(), &response).ok());
  const std::string headers =
      harness.OnLoop([&] { return harness.service().last_request.headers; });
  EXPECT_THAT(headers, HasSubstr("traceparent: 00-ab-cd-01\r\n"));
  EXPECT_THAT(headers, HasSubstr("x-b-bin: AAE=\r\n"));
  EXPECT_THAT(headers, Not(HasSubstr("user-agent")));
}

TEST(GrpcServerTest, SaysHowOftenAClientTriedBefore) {
  GrpcHarness harness;
  grpc::ChannelArguments arguments;
  arguments.SetServiceConfigJSON(
      R"({"methodConfig": [{"name": [{}], "retryPolicy": {
            "maxAttempts": 2, "initialBackoff": "0.001s",
            "maxBackoff": "0.001s", "backoffMultiplier": 1,
            "retryableStatusCodes": ["UNAVAILABLE"]}}]})");
  const auto stub = inference::GRPCInferenceService::NewStub(
      grpc::CreateCustomChannel(absl::StrCat("127.0.0.1:", harness.port()),
                                grpc::InsecureChannelCredentials(), arguments));
  const auto headers = [&](const absl::Status& failure) {
    harness.OnLoop([&] { harness.service().failure = failure; });
    grpc::ClientContext context;
    context.AddMetadata("x-envoy-attempt-count", "3");
    ModelInferResponse response;
    EXPECT_EQ(stub->ModelInfer(&context, EchoRequest(), &response).ok(),
              failure.ok());
    return harness.OnLoop(
        [&] { return harness.service().last_request.headers; });
  };
  EXPECT_EQ(headers(absl::OkStatus()), "x-envoy-attempt-count: 3\r\n");
  const std::string again = headers(absl::UnavailableError("not now"));
  EXPECT_THAT(again, HasSubstr("x-envoy-attempt-count: 3\r\n"));
  EXPECT_THAT(again, HasSubstr("grpc-previous-rpc-attempts: 1\r\n"));
  EXPECT_EQ(harness.OnLoop([&] { return harness.service().num_queries; }), 3U);
}

TEST(GrpcServerTest, RefusesMessagesBeyondItsBound) {
  GrpcHarness harness({.max_message_bytes = 4096}, 2048);
  ModelInferResponse response;
  EXPECT_EQ(Infer(harness, EchoRequest("", 2048), &response).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(harness.OnLoop([&] { return harness.service().num_queries; }), 0U);
}

TEST(GrpcServerTest, RefusesTensorsBeyondTheQueue) {
  GrpcHarness harness({.max_buffered_bytes = size_t{1} << 20}, size_t{1} << 19);
  ModelInferResponse response;
  EXPECT_EQ(
      Infer(harness, EchoRequest("", size_t{1} << 19), &response).error_code(),
      grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(harness.counters().shed_bytes, 1U);
}

TEST(GrpcServerTest, RefusesCallsBeyondItsBound) {
  GrpcHarness harness({.max_calls = 2});
  harness.OnLoop([&] { harness.service().hold = true; });
  PendingInfer first(harness, EchoRequest());
  ASSERT_TRUE(harness.AwaitHeld(1));
  PendingInfer second(harness, EchoRequest());
  ASSERT_TRUE(harness.AwaitHeld(2));
  ModelInferResponse response;
  EXPECT_EQ(Infer(harness, EchoRequest(), &response).error_code(),
            grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(harness.counters().shed_calls, 1U);
  harness.OnLoop([&] { harness.service().Answer(0); });
  EXPECT_TRUE(first.Wait().ok());
  ASSERT_TRUE(
      harness.Await([&] { return harness.counters().open_calls == 1; }));
  harness.OnLoop([&] { harness.service().hold = false; });
  EXPECT_TRUE(Infer(harness, EchoRequest(), &response).ok());
  harness.OnLoop([&] { harness.service().Answer(0); });
  EXPECT_TRUE(second.Wait().ok());
}

TEST(GrpcServerTest, RefusesCompressedMessages) {
  GrpcHarness harness;
  grpc::ClientContext context;
  context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
  ModelInferResponse response;
  EXPECT_EQ(harness.stub()
                .ModelInfer(&context, EchoRequest(), &response)
                .error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
}

TEST(GrpcServerTest, TellsWhatItKnowsOfModels) {
  GrpcHarness harness;
  auto& stub = harness.stub();
  inference::ModelReadyRequest who;
  inference::ModelReadyResponse ready;
  who.set_name("echo");
  grpc::ClientContext contexts[6];
  ASSERT_TRUE(stub.ModelReady(&contexts[0], who, &ready).ok());
  EXPECT_TRUE(ready.ready());
  who.set_version("7");
  EXPECT_EQ(stub.ModelReady(&contexts[1], who, &ready).error_code(),
            grpc::StatusCode::NOT_FOUND);
  inference::RepositoryIndexRequest which;
  inference::RepositoryIndexResponse index;
  ASSERT_TRUE(stub.RepositoryIndex(&contexts[2], which, &index).ok());
  ASSERT_EQ(index.models_size(), 1);
  EXPECT_EQ(index.models(0).name(), "echo");
  EXPECT_EQ(index.models(0).version(), "1");
  EXPECT_EQ(index.models(0).state(), "READY");
  harness.OnLoop([&] { harness.service().ready = false; });
  which.set_ready(true);
  ASSERT_TRUE(stub.RepositoryIndex(&contexts[3], which, &index).ok());
  EXPECT_EQ(index.models_size(), 0);
  which.set_ready(false);
  ASSERT_TRUE(stub.RepositoryIndex(&contexts[4], which, &index).ok());
  EXPECT_EQ(index.models(0).state(), "UNAVAILABLE");
  harness.OnLoop([&] { harness.service().told = false; });
  inference::ModelConfigRequest of_model;
  of_model.set_name("echo");
  inference::ModelConfigResponse config;
  EXPECT_EQ(stub.ModelConfig(&contexts[5], of_model, &config).error_code(),
            grpc::StatusCode::UNAVAILABLE);
}

TEST(GrpcServerTest, ExplainsWhatItDoesNotServe) {
  GrpcHarness harness;
  std::string reply;
  const std::map<std::string, std::string> cases = {
      {"SystemSharedMemoryRegister", "shared memory"},
      {"RepositoryModelLoad", "workers"},
      {"TraceSetting", "TraceSetting"}};
  for (const auto& [method, why] : cases) {
    const grpc::Status status = CallByName(
        harness, "/inference.GRPCInferenceService/" + method, "", &reply);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
    EXPECT_THAT(status.error_message(), HasSubstr(why));
  }
}

TEST(GrpcServerTest, SaysWhenItIsHealthy) {
  GrpcHarness harness;
  EXPECT_EQ(Health(harness), kServing);
  harness.OnLoop([&] { harness.service().ready = false; });
  const auto end = std::chrono::steady_clock::now() + GrpcHarness::kPatience;
  while (Health(harness) != kNotServing &&
         std::chrono::steady_clock::now() < end) {
  }
  EXPECT_EQ(Health(harness), kNotServing);
}

TEST(GrpcServerTest, AnswersWhatItTookWhenItDrains) {
  GrpcHarness harness({.drain_patience = GrpcHarness::kPatience});
  harness.OnLoop([&] { harness.service().hold = true; });
  PendingInfer call(harness, EchoRequest());
  ASSERT_TRUE(harness.AwaitHeld(1));
  bool drained = false;
  harness.OnLoop([&] {
    harness.server().Drain([&] { drained = true; });
    EXPECT_FALSE(drained);
  });
  EXPECT_EQ(Health(harness), kNotServing);
  harness.OnLoop([&] {
    EXPECT_FALSE(drained);
    harness.service().Answer(0);
  });
  EXPECT_TRUE(call.Wait().ok());
  EXPECT_TRUE(harness.Await([&] { return drained; }));
}

TEST(GrpcServerTest, EndsCallsWhenItIsDestroyed) {
  GrpcHarness harness;
  harness.OnLoop([&] { harness.service().hold = true; });
  PendingInfer call(harness, EchoRequest());
  ASSERT_TRUE(harness.AwaitHeld(1));
  harness.DestroyServer();
  EXPECT_EQ(call.Wait().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(harness.AwaitAbandoned(1));
}

TEST(GrpcServerTest, EndsWhileItsTimersAreDue) {
  boost::asio::io_context io(1);
  FakeQueryService service(io, 4);
  PARM_ASSERT_OK_AND_ASSIGN(std::unique_ptr<GrpcServer> server,
                            GrpcServer::Create(io, {}, &service));
  server->Drain([] {});
  boost::asio::post(io, [&] { server = nullptr; });
  // Nobody runs the loop until both timers are due, so that it finds them in
  // the same look as the end, which then comes first.
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  io.poll();
  EXPECT_EQ(server, nullptr);
}

TEST(GrpcServerTest, SaysWhyItCannotListen) {
  GrpcHarness harness;
  boost::asio::io_context io;
  FakeQueryService service(io, 4);
  EXPECT_THAT(GrpcServer::Create(io, {.port = harness.port()}, &service),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("Address already in use")));
  EXPECT_THAT(GrpcServer::Create(io, {.address = "nowhere"}, &service),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace parm
