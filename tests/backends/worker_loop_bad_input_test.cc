// What frontends may send and should not: each kind is counted, answered where
// a task id could be read, and never ends the worker.

#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/wire_codec.h"
#include "tests/backends/raw_frontend.h"
#include "tests/backends/running_worker.h"

namespace parm {
namespace {

using ::testing::HasSubstr;

const std::vector<float> kSample = {4, 3, 2, 1};

wire::Envelope InferEnvelope(uint64_t task_id, const Bundle& bundle,
                             const TensorSpec& spec) {
  wire::Envelope envelope;
  wire::Infer* const infer = envelope.mutable_infer();
  infer->set_task_id(task_id);
  infer->set_bundle_sha256(bundle.id.data(), bundle.id.size());
  *infer->add_tensors() = wire::ToWire(spec);
  return envelope;
}

const TensorSpec kSpec = {
    .name = "x", .datatype = DataType::kFp32, .shape = {1, 4}};

class WorkerLoopBadInputTest : public ::testing::Test {
 protected:
  // Waits for the error reply of a task and returns its sentence.
  std::string ErrorOf(uint64_t task_id) {
    const auto received = frontend_.ReceiveReply(task_id);
    if (!received.has_value()) return "no reply";
    const wire::Reply& reply = received->envelope->reply();
    EXPECT_EQ(reply.status(), wire::ERROR);
    EXPECT_FALSE(reply.started());
    retryable_ = reply.retryable();
    return reply.error();
  }

  void ExpectStillServes() {
    frontend_.SendInfer(1000, worker_.deployed(), kSample);
    const auto reply = frontend_.ReceiveReply(1000);
    ASSERT_TRUE(reply.has_value());
    EXPECT_EQ(reply->envelope->reply().status(), wire::OK);
  }

  RunningWorker worker_;
  RawFrontend frontend_{worker_.endpoint()};
  bool retryable_ = false;
};

TEST_F(WorkerLoopBadInputTest, CountsFramesThatAreNoEnvelope) {
  frontend_.SendFrames({""});
  frontend_.SendFrames({"garbage that is no protobuf message at all"});
  frontend_.SendFrames({std::string(10000, '\xff')});
  frontend_.SendFrames({"", "", ""});
  const std::string whole =
      wire::SerializeEnvelope(InferEnvelope(0, worker_.deployed(), kSpec));
  for (size_t size = 1; size < whole.size(); size += 7) {
    frontend_.SendFrames({whole.substr(0, size)});
  }
  ExpectStillServes();
  const WorkerCounters counters = worker_.Stop();
  EXPECT_GE(counters.messages_malformed, 10U);
  EXPECT_EQ(counters.replies_error, 0U);
}

TEST_F(WorkerLoopBadInputTest, AnswersMalformedTaskByItsId) {
  wire::Envelope envelope = InferEnvelope(7, worker_.deployed(), kSpec);
  envelope.mutable_infer()->set_bundle_sha256("too short");
  frontend_.Send(envelope, {BytesOf(kSample)});
  EXPECT_THAT(ErrorOf(7), HasSubstr("sha256"));
  EXPECT_FALSE(retryable_);
  ExpectStillServes();
}

TEST_F(WorkerLoopBadInputTest, AnswersOtherVersionAsRetryable) {
  wire::Envelope envelope = InferEnvelope(8, worker_.deployed(), kSpec);
  envelope.set_version(99);
  frontend_.SendFrames({envelope.SerializeAsString(), BytesOf(kSample)});
  EXPECT_THAT(ErrorOf(8), HasSubstr("version"));
  EXPECT_TRUE(retryable_);
  ExpectStillServes();
}

TEST_F(WorkerLoopBadInputTest, MalformedTwinLeavesTaskAlone) {
  worker_.gate().Close();
  frontend_.SendInfer(7, worker_.deployed(), kSample);
  ASSERT_TRUE(frontend_.ReceiveStarted(7));
  wire::Envelope twin = InferEnvelope(7, worker_.deployed(), kSpec);
  twin.mutable_infer()->set_bundle_sha256("too short");
  frontend_.Send(twin);
  ASSERT_TRUE(frontend_.WaitForQueueDepth(0));
  worker_.gate().Open();
  const auto reply = frontend_.ReceiveReply(7);
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->envelope->reply().status(), wire::OK);
  ExpectStillServes();
  EXPECT_EQ(worker_.Stop().replies_error, 0U);
}

TEST_F(WorkerLoopBadInputTest, RefusesFramesThatDoNotAddUp) {
  const wire::Envelope envelope = InferEnvelope(1, worker_.deployed(), kSpec);
  const auto with_id = [&](uint64_t id) {
    wire::Envelope copy = envelope;
    copy.mutable_infer()->set_task_id(id);
    return copy;
  };
  frontend_.Send(with_id(1));
  EXPECT_NE(ErrorOf(1), "");
  frontend_.Send(with_id(2), {BytesOf({1, 2, 3})});
  EXPECT_NE(ErrorOf(2), "");
  frontend_.Send(with_id(3), {BytesOf(kSample), BytesOf(kSample)});
  EXPECT_NE(ErrorOf(3), "");
  frontend_.Send(with_id(4), std::vector<std::string>(500, BytesOf(kSample)));
  EXPECT_THAT(ErrorOf(4), HasSubstr("too many frames"));
  ExpectStillServes();
  EXPECT_EQ(worker_.Stop().messages_malformed, 4U);
}

TEST_F(WorkerLoopBadInputTest, UnknownBundleMaySucceedElsewhere) {
  Bundle unknown = worker_.deployed();
  unknown.id.fill(0xab);
  frontend_.SendInfer(5, unknown, kSample);
  EXPECT_THAT(ErrorOf(5), HasSubstr("does not serve this bundle"));
  EXPECT_TRUE(retryable_);
  ExpectStillServes();
  EXPECT_EQ(worker_.Stop().tasks_misfit, 1U);
}

TEST_F(WorkerLoopBadInputTest, WrongInputsFailForGood) {
  frontend_.SendInfer(1, worker_.deployed(), {1, 2, 3});
  EXPECT_THAT(ErrorOf(1), HasSubstr("got 'x' FP32 [1,3]"));
  EXPECT_FALSE(retryable_);
  TensorSpec renamed = kSpec;
  renamed.name = "pixels";
  frontend_.Send(InferEnvelope(2, worker_.deployed(), renamed),
                 {BytesOf(kSample)});
  EXPECT_THAT(ErrorOf(2), HasSubstr("input is missing"));
  TensorSpec retyped = kSpec;
  retyped.datatype = DataType::kInt32;
  frontend_.Send(InferEnvelope(3, worker_.deployed(), retyped),
                 {BytesOf(kSample)});
  EXPECT_THAT(ErrorOf(3), HasSubstr("INT32"));
  wire::Envelope doubled = InferEnvelope(4, worker_.deployed(), kSpec);
  *doubled.mutable_infer()->add_tensors() = wire::ToWire(kSpec);
  frontend_.Send(doubled, {BytesOf(kSample), BytesOf(kSample)});
  EXPECT_THAT(ErrorOf(4), HasSubstr("number of inputs differs"));
  ExpectStillServes();
  EXPECT_EQ(worker_.Stop().tasks_misfit, 4U);
}

TEST_F(WorkerLoopBadInputTest, CountsMessagesMeantForFrontends) {
  wire::Envelope started;
  started.mutable_started()->set_task_id(3);
  started.mutable_started()->set_instance_nonce(4);
  frontend_.Send(started);
  wire::Envelope heartbeat;
  heartbeat.mutable_heartbeat()->set_instance_nonce(4);
  frontend_.Send(heartbeat);
  wire::Envelope hello_with_frames;
  hello_with_frames.mutable_hello_request()->set_frontend_id("f");
  frontend_.Send(hello_with_frames, {"surplus"});
  ExpectStillServes();
  const WorkerCounters counters = worker_.Stop();
  EXPECT_EQ(counters.messages_unexpected, 2U);
  EXPECT_EQ(counters.messages_malformed, 1U);
}

TEST_F(WorkerLoopBadInputTest, FailingModelAnswersWithSentence) {
  frontend_.SendInfer(1, worker_.deployed(),
                      {LinearModelSpec::kErrorInput, 0, 0, 0});
  const auto received = frontend_.ReceiveReply(1);
  ASSERT_TRUE(received.has_value());
  EXPECT_EQ(received->envelope->reply().status(), wire::ERROR);
  EXPECT_TRUE(received->envelope->reply().started());
  EXPECT_THAT(received->envelope->reply().error(),
              HasSubstr("asked to by its input"));
  ExpectStillServes();
  EXPECT_EQ(worker_.Stop().model_errors, 1U);
}

TEST_F(WorkerLoopBadInputTest, NanIsCountedAndStillSent) {
  frontend_.SendInfer(1, worker_.deployed(),
                      {LinearModelSpec::kNanInput, 0, 0, 0});
  const auto nan_output = frontend_.ReceiveReply(1);
  ASSERT_TRUE(nan_output.has_value());
  EXPECT_EQ(nan_output->envelope->reply().status(), wire::OK);
  frontend_.SendInfer(2, worker_.deployed(), {NAN, 0, 0, 0});
  ASSERT_TRUE(frontend_.ReceiveReply(2).has_value());
  const WorkerCounters counters = worker_.Stop();
  EXPECT_EQ(counters.non_finite_inputs, 1U);
  EXPECT_EQ(counters.non_finite_outputs, 2U);
}

TEST(WorkerLoopLimitsTest, OversizedFrameCostsOnlyItsConnection) {
  RunningWorker::Settings settings;
  settings.loop.max_message_bytes = 1024;
  RunningWorker worker(settings);
  RawFrontend honest(worker.endpoint());
  RawFrontend greedy(worker.endpoint());
  const auto hello = greedy.Hello();
  ASSERT_TRUE(hello.has_value());
  EXPECT_EQ(hello->max_message_bytes(), 1024U);
  greedy.SendFrames({std::string(2000, 'x')});
  honest.SendInfer(1, worker.deployed(), kSample);
  ASSERT_TRUE(honest.ReceiveReply(1).has_value());
  RawFrontend newcomer(worker.endpoint());
  EXPECT_TRUE(newcomer.Hello().has_value());
  // libzmq dropped the frame with the connection.
  EXPECT_EQ(worker.Stop().messages_malformed, 0U);
}

}  // namespace
}  // namespace parm
