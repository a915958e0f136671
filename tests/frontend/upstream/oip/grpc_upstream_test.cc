// OipUpstream before a model server that speaks gRPC, in this process.

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "frontend/upstream/oip/oip_upstream.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/oip/grpc_service.pb.h"
#include "tests/frontend/upstream/oip/fake_grpc_server.h"
#include "tests/frontend/upstream/oip/one_server_fixture.h"
#include "tests/frontend/upstream/oip/swallowing_relay.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Pair;

class GrpcUpstreamTest : public OneServerFixture {
 protected:
  void Start() { StartBefore({.endpoint = server_->url(), .lanes = 1}); }
  void StartAndMeet() {
    Start();
    ASSERT_TRUE(RunUntil([&] { return !listener_.hellos.empty(); }));
  }

  void AnswerWith(FakeGrpcServer::Answer answer) {
    server_->Tell([&](FakeGrpcServer::Says* says) {
      says->on_infer = [answer](const inference::ModelInferRequest&) {
        return answer;
      };
    });
  }

  WorkerReply Exchange(FakeGrpcServer::Answer answer) {
    AnswerWith(std::move(answer));
    return SendNext();
  }

  static FakeGrpcServer::Answer Good(const std::string& values = Bytes(5, 6),
                                     const std::string& version = "1") {
    return {.bytes = RawAnswer(values, version).SerializeAsString()};
  }

  std::unique_ptr<FakeGrpcServer> server_ = std::make_unique<FakeGrpcServer>();
};

TEST_F(GrpcUpstreamTest, SaysHelloFromTheServersMetadata) {
  StartAndMeet();
  const wire::Hello& hello = listener_.hellos[0];
  EXPECT_THAT(hello.worker_id(), HasSubstr("triton 127.0.0.1:"));
  ASSERT_EQ(hello.bundles_size(), 1);
  const wire::BundleInfo& bundle = hello.bundles(0);
  EXPECT_EQ(bundle.model(), "ours");
  EXPECT_EQ(bundle.version(), "1");
  EXPECT_EQ(bundle.inputs(0).name(), "x");
  EXPECT_EQ(bundle.outputs(0).datatype(), wire::FP32);
  EXPECT_TRUE(RunUntil([&] { return listener_.heartbeats > 3; }));
}

TEST_F(GrpcUpstreamTest, CarriesATaskThereAndBackRaw) {
  StartAndMeet();
  AnswerWith(Good());
  const oip::RequestContext context{
      .id = "seven",
      .parameters = {{"priority", uint64_t{1}}},
      .headers =
          "Authorization: a\r\nuser-agent: b\r\nx-b-bin: AAE=\r\n"
          "grpc-timeout: 1S\r\nbad name: c\r\n"};
  ASSERT_THAT(Send(1, Milliseconds(60'000), Bytes(1, 2), &context), IsOk());
  ASSERT_TRUE(RunUntil([&] { return !listener_.replies.empty(); }));
  const FakeGrpcServer::Saw saw = server_->saw();
  EXPECT_EQ(saw.request.model_name(), "m");
  EXPECT_EQ(saw.request.id(), "seven");
  EXPECT_EQ(saw.request.parameters().at("priority").uint64_param(), 1U);
  EXPECT_EQ(saw.request.inputs(0).datatype(), "FP32");
  EXPECT_FALSE(saw.request.inputs(0).has_contents());
  EXPECT_EQ(saw.request.raw_input_contents(0), Bytes(1, 2));
  EXPECT_THAT(saw.metadata, Contains(Pair("authorization", "a")));
  EXPECT_THAT(saw.metadata, Contains(Pair("x-b-bin", std::string("\0\1", 2))));
  EXPECT_EQ(saw.metadata.count("bad name"), 0U);
  const WorkerReply& reply = listener_.replies[0];
  ASSERT_EQ(reply.status, wire::OK);
  EXPECT_TRUE(reply.decodable);
  ASSERT_EQ(reply.tensors.size(), 1U);
  EXPECT_EQ(reply.tensors[0].spec.name, "y");
  const auto bytes = reply.tensors[0].data.bytes();
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(bytes.data()), 8),
            Bytes(5, 6));
}

TEST_F(GrpcUpstreamTest, TakesTypedRepliesToo) {
  StartAndMeet();
  inference::ModelInferResponse message = RawAnswer(Bytes(5, 6));
  message.clear_raw_output_contents();
  auto* const values = message.mutable_outputs(0)->mutable_contents();
  values->add_fp32_contents(5);
  values->add_fp32_contents(6);
  const WorkerReply reply = Exchange({.bytes = message.SerializeAsString()});
  ASSERT_EQ(reply.status, wire::OK);
  EXPECT_EQ(reply.tensors[0].data.size(), 8U);
}

TEST_F(GrpcUpstreamTest, SparesMlserverIdsThatItCannotRepeat) {
  server_->Tell([](FakeGrpcServer::Says* says) { says->name = "mlserver"; });
  StartAndMeet();
  AnswerWith(Good());
  const oip::RequestContext plain{.id = "seven"};
  ASSERT_THAT(Send(1, Milliseconds(60'000), Bytes(1, 2), &plain), IsOk());
  ASSERT_TRUE(RunUntil([&] { return listener_.replies.size() == 1; }));
  EXPECT_EQ(server_->saw().request.id(), "seven");
  const oip::RequestContext accent{.id = "caf\xc3\xa9"};
  ASSERT_THAT(Send(2, Milliseconds(60'000), Bytes(1, 2), &accent), IsOk());
  ASSERT_TRUE(RunUntil([&] { return listener_.replies.size() == 2; }));
  EXPECT_EQ(server_->saw().request.id(), "");
}

TEST_F(GrpcUpstreamTest, CarriesTensorsAboveFourMebibytes) {
  StartAndMeet();
  const std::string values(size_t{5} << 20, 'v');
  AnswerWith(Good(values));
  ASSERT_THAT(Send(1, Milliseconds(60'000), values), IsOk());
  ASSERT_TRUE(RunUntil([&] { return !listener_.replies.empty(); }));
  ASSERT_EQ(listener_.replies[0].status, wire::OK)
      << listener_.replies[0].error;
  EXPECT_EQ(listener_.replies[0].tensors[0].data.size(), values.size());
  EXPECT_TRUE(server_->saw().request.raw_input_contents(0) == values);
}

TEST_F(GrpcUpstreamTest, ReportsWrongRepliesAsRetryableErrors) {
  StartAndMeet();
  inference::ModelInferResponse half = RawAnswer(Bytes(1, 1));
  half.mutable_raw_output_contents(0)->resize(5);
  inference::ModelInferResponse two = RawAnswer(Bytes(1, 1));
  two.add_raw_output_contents("more");
  inference::ModelInferResponse strange = RawAnswer(Bytes(1, 1));
  strange.mutable_outputs(0)->set_datatype("FP33");
  inference::ModelInferResponse none = RawAnswer(Bytes(1, 1));
  none.clear_raw_output_contents();
  const std::string cut =
      RawAnswer(Bytes(1, 1)).SerializeAsString().substr(0, 20);
  for (const std::string& bytes :
       {half.SerializeAsString(), two.SerializeAsString(),
        strange.SerializeAsString(), none.SerializeAsString(), cut,
        std::string("\xff\xff\xff")}) {
    SCOPED_TRACE(bytes);
    const WorkerReply reply = Exchange({.bytes = bytes});
    EXPECT_EQ(reply.status, wire::ERROR);
    EXPECT_TRUE(reply.retryable);
    EXPECT_EQ(reply.error_code, absl::StatusCode::kInternal);
    EXPECT_FALSE(reply.error.empty());
  }
  EXPECT_EQ(counters().replies.malformed, 6U);
  EXPECT_EQ(listener_.lost, 0);
}

TEST_F(GrpcUpstreamTest, ReportsWhatTheServerRefuses) {
  StartAndMeet();
  const WorkerReply refused = Exchange(
      {.status = {grpc::StatusCode::INVALID_ARGUMENT, "unexpected shape"}});
  EXPECT_EQ(refused.status, wire::ERROR);
  EXPECT_FALSE(refused.retryable);
  EXPECT_EQ(refused.error_code, absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(refused.error, "gRPC INVALID_ARGUMENT: unexpected shape");
  const WorkerReply failed =
      Exchange({.status = {grpc::StatusCode::INTERNAL, "CUDA"}});
  EXPECT_TRUE(failed.retryable);
  EXPECT_EQ(failed.error_code, absl::StatusCode::kInternal);
  EXPECT_EQ(counters().replies.refused, 1U);
  EXPECT_EQ(counters().replies.failed, 1U);
  const WorkerReply full =
      Exchange({.status = {grpc::StatusCode::UNAVAILABLE, "queue"}});
  EXPECT_TRUE(full.retryable);
  EXPECT_EQ(full.error_code, absl::StatusCode::kUnavailable);
  EXPECT_EQ(Ended(ExchangeEnd::kBroken), 1U);
  // It answers when it is asked how it is.
  EXPECT_EQ(Exchange(Good()).status, wire::OK);
  EXPECT_EQ(listener_.lost, 0);
}

TEST_F(GrpcUpstreamTest, RefusesRepliesThatAreTooLarge) {
  options_.max_reply_bytes = 1000;
  StartAndMeet();
  const WorkerReply reply = Exchange(Good(std::string(1024, 'v')));
  EXPECT_EQ(reply.status, wire::ERROR);
  EXPECT_TRUE(reply.retryable);
  EXPECT_EQ(reply.error_code, absl::StatusCode::kInternal);
  EXPECT_EQ(Ended(ExchangeEnd::kTooLarge), 1U);
}

TEST_F(GrpcUpstreamTest, EndsWhatIsNeverAnswered) {
  options_.keep_late = Milliseconds(1);
  StartAndMeet();
  ASSERT_THAT(Send(1, Milliseconds(1)), IsOk());
  ASSERT_TRUE(RunUntil([&] { return !listener_.replies.empty(); }));
  EXPECT_EQ(listener_.replies[0].status, wire::EXPIRED);
  EXPECT_EQ(Ended(ExchangeEnd::kTimedOut), 1U);
}

TEST_F(GrpcUpstreamTest, BoundsWhatIsUnderWay) {
  StartAndMeet();
  uint64_t task = 0;
  absl::Status status;
  while (status.ok() && task < 100) status = Send(++task);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_LE(task, 10U);  // 2 * max_in_flight, and one more at most
  const int health = server_->saw().health;
  EXPECT_TRUE(RunUntil([&] { return server_->saw().health > health + 2; }));
}

TEST_F(GrpcUpstreamTest, WithdrawsWhatWaitsAndLeavesWhatRuns) {
  StartAndMeet();
  for (const uint64_t task : {1U, 2U, 3U}) ASSERT_THAT(Send(task), IsOk());
  ASSERT_TRUE(RunUntil([&] { return server_->saw().infer == 3; }));
  // One lane: the first runs, and keeps its slot.
  EXPECT_THAT(upstream_->SendCancel(WorkerId{3}, TaskId{1}), IsOk());
  EXPECT_THAT(upstream_->SendCancel(WorkerId{3}, TaskId{3}), IsOk());
  ASSERT_TRUE(RunUntil([&] { return !listener_.replies.empty(); }));
  EXPECT_EQ(listener_.replies[0].task, TaskId{3});
  EXPECT_EQ(listener_.replies[0].status, wire::CANCELLED);
  EXPECT_EQ(counters().connections.withdrawn, 1U);
  EXPECT_TRUE(RunUntil([&] { return server_->saw().cancelled == 1; }));
  EXPECT_EQ(listener_.replies.size(), 1U);
}

TEST_F(GrpcUpstreamTest, HoldsTheSlotUntilTheServerHasHeardOfACancel) {
  StartAndMeet();
  for (const uint64_t task : {1U, 2U}) ASSERT_THAT(Send(task), IsOk());
  ASSERT_TRUE(RunUntil([&] { return server_->saw().infer == 2; }));
  server_->Tell(
      [](FakeGrpcServer::Says* says) { says->answers_health = false; });
  const int health = server_->saw().health;
  ASSERT_TRUE(RunUntil([&] { return server_->saw().health > health + 1; }));
  EXPECT_THAT(upstream_->SendCancel(WorkerId{3}, TaskId{2}), IsOk());
  ASSERT_TRUE(RunUntil([&] { return server_->saw().cancelled > 0; }));
  EXPECT_TRUE(listener_.replies.empty());
  server_->Tell(
      [](FakeGrpcServer::Says* says) { says->answers_health = true; });
  ASSERT_TRUE(RunUntil([&] { return !listener_.replies.empty(); }));
  EXPECT_EQ(listener_.replies[0].status, wire::CANCELLED);
}

TEST_F(GrpcUpstreamTest, ReportsADeadServerLostAndMeetsItAgain) {
  StartAndMeet();
  ASSERT_THAT(Send(1), IsOk());
  const uint16_t port = server_->port();
  server_.reset();
  ASSERT_TRUE(RunUntil([&] { return listener_.lost == 1; }));
  EXPECT_THAT(Send(2), StatusIs(absl::StatusCode::kUnavailable));
  for (const WorkerReply& reply : listener_.replies) {
    EXPECT_EQ(reply.status, wire::ERROR);
    EXPECT_TRUE(reply.retryable);
  }
  server_ = std::make_unique<FakeGrpcServer>(port);
  ASSERT_TRUE(RunUntil([&] { return listener_.hellos.size() == 2; }));
  EXPECT_NE(listener_.hellos[0].instance_nonce(),
            listener_.hellos[1].instance_nonce());
  last_task_ = 2;
  EXPECT_EQ(Exchange(Good()).status, wire::OK);
}

TEST_F(GrpcUpstreamTest, IsSilentWhileTheServerIsStopped) {
  StartAndMeet();
  server_->Tell(
      [](FakeGrpcServer::Says* says) { says->answers_health = false; });
  ASSERT_TRUE(RunUntil([&] { return Ended(ExchangeEnd::kTimedOut) > 0; }));
  const int before = listener_.heartbeats;
  EXPECT_EQ(listener_.lost, 0);
  server_->Tell(
      [](FakeGrpcServer::Says* says) { says->answers_health = true; });
  EXPECT_TRUE(RunUntil([&] { return listener_.heartbeats > before; }));
}

TEST_F(GrpcUpstreamTest, LeavesAConnectionThatANetworkSwallowed) {
  SwallowingRelay relay(loop_, server_->port());
  options_.ping_interval = Milliseconds(1500);
  StartBefore({.endpoint = absl::StrCat("grpc://127.0.0.1:", relay.port()),
               .lanes = 1});
  ASSERT_TRUE(RunUntil([&] { return !listener_.hellos.empty(); }));
  relay.Swallow();
  ASSERT_TRUE(RunUntil([&] { return listener_.lost > 0; }));
  const size_t before = listener_.hellos.size();
  EXPECT_TRUE(RunUntil([&] { return listener_.hellos.size() > before; }));
}

TEST_F(GrpcUpstreamTest, DrainsWhileTheServerIsNotReady) {
  StartAndMeet();
  server_->Tell([](FakeGrpcServer::Says* says) { says->ready = false; });
  ASSERT_TRUE(RunUntil([&] { return listener_.draining == 1; }));
  server_->Tell([](FakeGrpcServer::Says* says) { says->ready = true; });
  ASSERT_TRUE(RunUntil([&] { return listener_.hellos.size() == 2; }));
  EXPECT_EQ(counters().not_ready, 1U);
}

TEST_F(GrpcUpstreamTest, SaysWhyMetadataWillNotDo) {
  server_->Tell([](FakeGrpcServer::Says* says) {
    says->metadata.mutable_inputs(0)->set_datatype("FP33");
  });
  Start();
  ASSERT_TRUE(RunUntil([&] { return !listener_.refused.empty(); }));
  EXPECT_THAT(listener_.refused[0], HasSubstr("FP33"));
}

TEST_F(GrpcUpstreamTest, MeetsAnotherVersionOfTheModelAnew) {
  StartAndMeet();
  const WorkerReply reply = Exchange(Good(Bytes(1, 1), "2"));
  EXPECT_EQ(reply.status, wire::OK);
  EXPECT_FALSE(reply.decodable);
  server_->Tell(
      [](FakeGrpcServer::Says* says) { says->metadata.set_versions(0, "2"); });
  ASSERT_TRUE(RunUntil(
      [&] { return listener_.hellos.back().bundles(0).version() == "2"; }));
  EXPECT_TRUE(Exchange(Good(Bytes(1, 1), "2")).decodable);
}

TEST_F(GrpcUpstreamTest, EndsWithCallsUnderWay) {
  StartAndMeet();
  for (const uint64_t task : {1U, 2U, 3U}) ASSERT_THAT(Send(task), IsOk());
  ASSERT_TRUE(RunUntil([&] { return server_->saw().infer == 3; }));
  upstream_.reset();
  // What the library's threads have posted finds nobody.
  loop_.poll();
  EXPECT_TRUE(listener_.replies.empty());
}

}  // namespace
}  // namespace parm
