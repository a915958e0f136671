// Streams of a GrpcServer over a service that a test steers.

#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/frontend/serve/grpc/grpc_harness.h"

namespace parm {
namespace {

using inference::ModelInferRequest;
using inference::ModelStreamInferResponse;
using ::testing::HasSubstr;

class InferStreamTest : public ::testing::Test {
 protected:
  using Stream =
      grpc::ClientReaderWriter<ModelInferRequest, ModelStreamInferResponse>;

  void Start(const GrpcOptions& options = {}, bool errors_end_it = false) {
    harness_ = std::make_unique<GrpcHarness>(options);
    if (errors_end_it) context_.AddMetadata("triton_grpc_error", "true");
    stream_ = harness_->stub().ModelStreamInfer(&context_);
  }

  void Hold(bool hold = true) {
    harness_->OnLoop([&] { harness_->service().hold = hold; });
  }
  void Answer(size_t index) {
    harness_->OnLoop([&] { harness_->service().Answer(index); });
  }

  void Send(const std::string& id, const std::string& model = "echo") {
    ModelInferRequest request = EchoRequest(id);
    request.set_model_name(model);
    ASSERT_TRUE(stream_->Write(request));
  }

  /// The next reply's id; "error: ..." if it is one; "end" if there is none.
  std::string Receive() {
    ModelStreamInferResponse reply;
    if (!stream_->Read(&reply)) return "end";
    if (!reply.error_message().empty()) {
      return "error: " + reply.error_message();
    }
    EXPECT_EQ(reply.infer_response().raw_output_contents_size(), 2);
    return reply.infer_response().id();
  }

  grpc::ClientContext context_;
  std::unique_ptr<GrpcHarness> harness_;
  std::unique_ptr<Stream> stream_;  // ends before what it needs
};

TEST_F(InferStreamTest, RepliesInTheOrderOfTheQueries) {
  Start();
  Hold();
  for (const char* id : {"a", "b", "c"}) Send(id);
  ASSERT_TRUE(harness_->AwaitHeld(3));
  for (const size_t index : {2U, 1U, 0U}) Answer(index);
  for (const char* id : {"a", "b", "c"}) EXPECT_EQ(Receive(), id);
  EXPECT_TRUE(stream_->WritesDone());
  EXPECT_EQ(Receive(), "end");
  EXPECT_TRUE(stream_->Finish().ok());
  EXPECT_EQ(harness_->counters().stream_queries, 3U);
}

TEST_F(InferStreamTest, AttemptsAreThoseOfQueriesBeforeTheFirstReply) {
  context_.AddMetadata("x-envoy-attempt-count", "2");
  Start();
  Hold();
  const auto last_is_late = [&] {
    return harness_->OnLoop([&] {
      const oip::InferRequest& last = harness_->service().last_request;
      EXPECT_THAT(last.headers, HasSubstr("x-envoy-attempt-count: 2\r\n"));
      return last.late_in_stream;
    });
  };
  Send("a");
  ASSERT_TRUE(harness_->AwaitHeld(1));
  EXPECT_FALSE(last_is_late());
  Send("b");
  ASSERT_TRUE(harness_->AwaitHeld(2));
  EXPECT_FALSE(last_is_late());
  Answer(0);
  EXPECT_EQ(Receive(), "a");
  Send("c");
  ASSERT_TRUE(harness_->AwaitHeld(2));
  EXPECT_TRUE(last_is_late());
}

TEST_F(InferStreamTest, RepliesAfterTheClientsLastQuery) {
  Start();
  Hold();
  Send("a");
  EXPECT_TRUE(stream_->WritesDone());
  ASSERT_TRUE(harness_->AwaitHeld(1));
  Answer(0);
  EXPECT_EQ(Receive(), "a");
  EXPECT_EQ(Receive(), "end");
  EXPECT_TRUE(stream_->Finish().ok());
}

TEST_F(InferStreamTest, ReadsNoMoreThanMayBeInFlight) {
  Start({.max_stream_in_flight = 2});
  Hold();
  for (int i = 0; i < 8; ++i) Send(std::to_string(i));
  for (int i = 0; i < 8; ++i) {
    ASSERT_TRUE(harness_->AwaitHeld(i < 7 ? 2 : 1)) << i;
    EXPECT_LE(harness_->OnLoop([&] { return harness_->service().num_queries; }),
              static_cast<uint64_t>(i + 2));
    Answer(0);
    EXPECT_EQ(Receive(), std::to_string(i));
  }
}

TEST_F(InferStreamTest, StaysOpenAfterAnError) {
  Start();
  Send("a", "no such model");
  Send("b");
  ModelInferRequest wrong = EchoRequest("c");
  wrong.add_raw_input_contents("more");
  ASSERT_TRUE(stream_->Write(wrong));
  Send("d");
  EXPECT_THAT(Receive(), HasSubstr("error: unknown model"));
  EXPECT_EQ(Receive(), "b");
  EXPECT_THAT(Receive(), HasSubstr("raw_input_contents"));
  EXPECT_EQ(Receive(), "d");
  EXPECT_EQ(harness_->counters().stream_errors, 2U);
  EXPECT_EQ(harness_->counters().rejected_messages, 1U);
}

TEST_F(InferStreamTest, EndsWithTheFirstErrorIfAsked) {
  Start({}, /*errors_end_it=*/true);
  Hold();
  Send("a");
  Send("b", "no such model");
  Send("c");
  ASSERT_TRUE(harness_->AwaitHeld(3));
  Answer(1);
  Answer(0);
  EXPECT_EQ(Receive(), "a");
  EXPECT_EQ(Receive(), "end");
  const grpc::Status status = stream_->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_TRUE(harness_->AwaitAbandoned(1));
}

TEST_F(InferStreamTest, AbandonsTheQueriesOfACancelledStream) {
  Start();
  Hold();
  Send("a");
  Send("b");
  ASSERT_TRUE(harness_->AwaitHeld(2));
  context_.TryCancel();
  EXPECT_TRUE(harness_->AwaitAbandoned(2));
  EXPECT_EQ(stream_->Finish().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(
      harness_->Await([&] { return harness_->counters().open_streams == 0; }));
  EXPECT_EQ(harness_->counters().abandoned, 2U);
}

TEST_F(InferStreamTest, RefusesStreamsBeyondTheBound) {
  Start({.max_streams = 1});
  Send("a");
  EXPECT_EQ(Receive(), "a");
  grpc::ClientContext context;
  const auto second = harness_->stub().ModelStreamInfer(&context);
  EXPECT_EQ(second->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(harness_->counters().shed_calls, 1U);
}

TEST_F(InferStreamTest, EndsBehindItsRepliesWhenDraining) {
  Start({.drain_patience = GrpcHarness::kPatience});
  Hold();
  Send("a");
  Send("b");
  ASSERT_TRUE(harness_->AwaitHeld(2));
  bool drained = false;
  harness_->OnLoop([&] { harness_->server().Drain([&] { drained = true; }); });
  Answer(0);
  EXPECT_EQ(Receive(), "a");
  Answer(0);
  EXPECT_EQ(Receive(), "b");
  EXPECT_EQ(Receive(), "end");
  EXPECT_EQ(stream_->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(harness_->Await([&] { return drained; }));
}

TEST_F(InferStreamTest, DrainIsPatientForAWhileOnly) {
  Start({.drain_patience = Milliseconds(20)});
  Hold();
  Send("a");
  ASSERT_TRUE(harness_->AwaitHeld(1));
  bool drained = false;
  harness_->OnLoop([&] { harness_->server().Drain([&] { drained = true; }); });
  EXPECT_TRUE(harness_->Await([&] { return drained; }));
  EXPECT_NE(stream_->Finish().error_code(), grpc::StatusCode::OK);
}

TEST_F(InferStreamTest, EndsWhenTheServerIsDestroyed) {
  Start();
  Hold();
  Send("a");
  ASSERT_TRUE(harness_->AwaitHeld(1));
  harness_->DestroyServer();
  EXPECT_EQ(stream_->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(harness_->AwaitAbandoned(1));
}

}  // namespace
}  // namespace parm
