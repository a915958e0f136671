#include "frontend/upstream/zmq_upstream.h"

#include <chrono>
#include <cstring>
#include <functional>
#include <memory>

#include "absl/strings/str_cat.h"
#include "boost/asio/ip/tcp.hpp"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/frontend/upstream/fake_worker.h"
#include "tests/support/matchers.h"
#include "tests/support/run_loop.h"
#include "tests/support/scratch_directory.h"

namespace parm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr WorkerId kWorker{0};
constexpr uint64_t kNonce = 77;
// A busy machine does not make the frontend ask for a hello twice.
constexpr Duration kHelloTimeout = Milliseconds(10'000);

// Notes every call.
class RecordingListener : public UpstreamListener {
 public:
  void OnHello(WorkerId, const wire::Hello& hello) override {
    hellos.push_back(hello);
  }
  void OnHelloRefused(WorkerId, const std::string& why) override {
    refusals.push_back(why);
  }
  void OnLost(WorkerId worker) override { lost.push_back(worker); }
  void OnHeartbeat(WorkerId, uint32_t queue_depth,
                   uint32_t in_flight) override {
    heartbeats.emplace_back(queue_depth, in_flight);
  }
  void OnDraining(WorkerId worker) override { draining.push_back(worker); }
  void OnStarted(WorkerId, TaskId task) override { started.push_back(task); }
  void OnReply(WorkerId, WorkerReply reply) override {
    replies.push_back(std::move(reply));
  }

  std::vector<wire::Hello> hellos;
  std::vector<std::string> refusals;
  std::vector<WorkerId> lost;
  std::vector<std::pair<uint32_t, uint32_t>> heartbeats;
  std::vector<WorkerId> draining;
  std::vector<TaskId> started;
  std::vector<WorkerReply> replies;
};

wire::Envelope HelloOf(uint64_t nonce) {
  wire::Envelope envelope;
  envelope.mutable_hello()->set_worker_id("w");
  envelope.mutable_hello()->set_instance_nonce(nonce);
  envelope.mutable_hello()->set_lanes(1);
  envelope.mutable_hello()->set_max_message_bytes(1 << 20);
  return envelope;
}

wire::Envelope ReplyTo(uint64_t task, uint64_t nonce = kNonce) {
  wire::Envelope envelope;
  wire::Reply& reply = *envelope.mutable_reply();
  reply.set_task_id(task);
  reply.set_instance_nonce(nonce);
  reply.set_status(wire::OK);
  wire::TensorSpec& spec = *reply.add_tensors();
  spec.set_name("y");
  spec.set_datatype(wire::FP32);
  spec.add_shape(1);
  spec.add_shape(2);
  return envelope;
}

oip::Tensor TensorOf(size_t num_floats, float value) {
  std::byte* data = nullptr;
  Buffer buffer = Buffer::Allocate(num_floats * sizeof(float), &data);
  for (size_t i = 0; i < num_floats; ++i) {
    std::memcpy(data + i * sizeof(float), &value, sizeof(float));
  }
  return {.spec = {.name = "x",
                   .datatype = DataType::kFp32,
                   .shape = {1, static_cast<int64_t>(num_floats)}},
          .data = std::move(buffer)};
}

class ZmqUpstreamTest : public ::testing::Test {
 protected:
  // ipc: a port that a killed worker gives back might become another's.
  ZmqUpstreamTest()
      : endpoint_("ipc://" + (scratch_ / "worker")),
        worker_(std::make_unique<FakeWorker>(endpoint_)) {}

  void Start(UpstreamOptions options = {.hello_timeout = kHelloTimeout}) {
    options.workers = {{.endpoint = endpoint_, .max_in_flight = 4}};
    PARM_ASSERT_OK_AND_ASSIGN(
        upstream_, ZmqUpstream::Create(loop_, std::move(options), &listener_));
  }

  // Runs the loop until `done` says so; false after a generous while.
  bool RunUntil(const std::function<bool()>& done) {
    return RunLoopUntil(loop_, done);
  }

  // The next message that the worker gets.
  FakeWorker::Message Next() {
    std::optional<FakeWorker::Message> message;
    EXPECT_TRUE(RunUntil([&] {
      message = worker_->Receive();
      return message.has_value();
    }));
    return message.value_or(FakeWorker::Message{});
  }

  // Answers HelloRequests until the frontend has taken an answer: one that
  // comes after its timeout is not taken.
  void SayHello(uint64_t nonce = kNonce) {
    const size_t before = listener_.hellos.size();
    ASSERT_TRUE(RunUntil([&] {
      if (const auto request = worker_->Receive()) {
        EXPECT_TRUE(request->envelope.has_hello_request());
        peer_ = request->peer;
        worker_->Send(peer_, HelloOf(nonce));
      }
      return listener_.hellos.size() > before;
    }));
  }

  absl::Status Infer(uint64_t task, size_t num_floats = 2) {
    return upstream_->SendInfer(kWorker,
                                {.task = TaskId{task},
                                 .bundle_sha256 = sha256_,
                                 .priority = 1,
                                 .luck = Luck{11},
                                 .budget = Milliseconds(5)},
                                {TensorOf(num_floats, 1.5F)});
  }

  const std::string sha256_ = std::string(32, 'b');
  const ScratchDirectory scratch_;
  std::string endpoint_;
  boost::asio::io_context loop_;
  std::unique_ptr<FakeWorker> worker_;
  std::string peer_;
  RecordingListener listener_;
  std::unique_ptr<ZmqUpstream> upstream_;
};

TEST_F(ZmqUpstreamTest, SaysHelloRequestOnConnect) {
  Start();
  const FakeWorker::Message request = Next();
  EXPECT_TRUE(request.envelope.has_hello_request());
  // A worker tells by it that another process took a connection over.
  EXPECT_NE(request.envelope.hello_request().frontend_id(), "");
  EXPECT_FALSE(upstream_->connected(kWorker));
}

TEST_F(ZmqUpstreamTest, RefusesTasksBeforeHello) {
  Start();
  EXPECT_THAT(Infer(1), StatusIs(absl::StatusCode::kUnavailable,
                                 HasSubstr("not connected")));
  EXPECT_THAT(upstream_->SendCancel(kWorker, TaskId{1}),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(upstream_->SendProbe(kWorker),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(upstream_->counters().sends_refused, 1U);
}

TEST_F(ZmqUpstreamTest, CarriesATaskAndItsReply) {
  Start();
  SayHello();
  EXPECT_TRUE(upstream_->connected(kWorker));
  ASSERT_THAT(Infer(9), IsOk());
  const FakeWorker::Message task = Next();
  ASSERT_TRUE(task.envelope.has_infer());
  EXPECT_EQ(task.envelope.infer().task_id(), 9U);
  EXPECT_EQ(task.envelope.infer().bundle_sha256(), sha256_);
  EXPECT_EQ(task.envelope.infer().priority(), 1U);
  EXPECT_EQ(task.envelope.infer().luck(), 11U);
  EXPECT_EQ(task.envelope.infer().remaining_budget_us(), 5000);
  ASSERT_EQ(task.frames.size(), 1U);
  EXPECT_EQ(task.frames[0].size(), 8U);

  worker_->Send(peer_, ReplyTo(9), {std::string(8, '\x01')});
  ASSERT_TRUE(RunUntil([&] { return !listener_.replies.empty(); }));
  const WorkerReply& reply = listener_.replies[0];
  EXPECT_EQ(reply.task, TaskId{9});
  EXPECT_EQ(reply.status, wire::OK);
  ASSERT_EQ(reply.tensors.size(), 1U);
  EXPECT_EQ(reply.tensors[0].spec.name, "y");
  EXPECT_THAT(reply.tensors[0].spec.shape, ElementsAre(1, 2));
  EXPECT_EQ(reply.tensors[0].data.size(), 8U);
}

TEST_F(ZmqUpstreamTest, SharesLargeTensorsUntilTheyAreSent) {
  Start();
  SayHello();
  constexpr size_t kFloats = 100'000;
  ASSERT_THAT(Infer(1, kFloats), IsOk());
  const FakeWorker::Message task = Next();
  ASSERT_EQ(task.frames.size(), 1U);
  ASSERT_EQ(task.frames[0].size(), kFloats * sizeof(float));
  float last = 0;
  std::memcpy(&last, &task.frames[0][(kFloats - 1) * sizeof(float)],
              sizeof(last));
  EXPECT_EQ(last, 1.5F);

  wire::Envelope envelope = ReplyTo(1);
  envelope.mutable_reply()->mutable_tensors(0)->set_shape(1, kFloats);
  worker_->Send(peer_, envelope, task.frames);
  ASSERT_TRUE(RunUntil([&] { return !listener_.replies.empty(); }));
  // The bytes outlive the socket that they came from.
  upstream_.reset();
  EXPECT_EQ(0, std::memcmp(listener_.replies[0].tensors[0].data.bytes().data(),
                           task.frames[0].data(), task.frames[0].size()));
}

TEST_F(ZmqUpstreamTest, PassesHeartbeatsStartsAndDrains) {
  Start();
  SayHello();
  wire::Envelope heartbeat;
  heartbeat.mutable_heartbeat()->set_instance_nonce(kNonce);
  heartbeat.mutable_heartbeat()->set_queue_depth(3);
  heartbeat.mutable_heartbeat()->set_in_flight(2);
  worker_->Send(peer_, heartbeat);
  wire::Envelope started;
  started.mutable_started()->set_instance_nonce(kNonce);
  started.mutable_started()->set_task_id(4);
  worker_->Send(peer_, started);
  wire::Envelope drain;
  drain.mutable_drain()->set_instance_nonce(kNonce);
  worker_->Send(peer_, drain);
  ASSERT_TRUE(RunUntil([&] { return !listener_.draining.empty(); }));
  EXPECT_THAT(listener_.heartbeats, ElementsAre(std::pair(3U, 2U)));
  EXPECT_THAT(listener_.started, ElementsAre(TaskId{4}));
  EXPECT_THAT(listener_.draining, ElementsAre(kWorker));
}

TEST_F(ZmqUpstreamTest, SendsCancelsAndProbes) {
  Start();
  SayHello();
  ASSERT_THAT(upstream_->SendCancel(kWorker, TaskId{5}), IsOk());
  ASSERT_THAT(upstream_->SendProbe(kWorker), IsOk());
  EXPECT_EQ(Next().envelope.cancel().task_id(), 5U);
  EXPECT_TRUE(Next().envelope.has_heartbeat_request());
}

TEST_F(ZmqUpstreamTest, ReportsAKilledWorkerAndItsSuccessor) {
  Start();
  SayHello();
  ASSERT_THAT(Infer(1), IsOk());
  ASSERT_TRUE(Next().envelope.has_infer());
  for (uint64_t nonce = 100; nonce < 103; ++nonce) {
    SCOPED_TRACE(nonce);
    const size_t lost_before = listener_.lost.size();
    worker_.reset();
    ASSERT_TRUE(RunUntil([&] { return listener_.lost.size() > lost_before; }));
    EXPECT_THAT(Infer(2), StatusIs(absl::StatusCode::kUnavailable));
    worker_ = std::make_unique<FakeWorker>(endpoint_);
    SayHello(nonce);
    EXPECT_EQ(listener_.hellos.back().instance_nonce(), nonce);
    // Nothing meant for the dead reaches its successor.
    ASSERT_THAT(Infer(nonce), IsOk());
    const FakeWorker::Message next = Next();
    EXPECT_EQ(next.envelope.infer().task_id(), nonce);
  }
  EXPECT_EQ(listener_.lost.size(), 3U);
  EXPECT_EQ(upstream_->counters().connections_lost, 3U);
}

TEST_F(ZmqUpstreamTest, ReportsALostWorkerThatHasAHostName) {
  // Somebody accepts first who does not speak ZMTP; libzmq connects again by
  // itself, and names the connection by the address that it knows by then.
  worker_.reset();
  std::string port;
  {
    boost::asio::ip::tcp::acceptor stranger(
        loop_, {boost::asio::ip::address_v4::loopback(), 0});
    port = absl::StrCat(stranger.local_endpoint().port());
    endpoint_ = "tcp://localhost:" + port;
    Start();
    stranger.accept().close();
  }
  const std::string bound = "tcp://127.0.0.1:" + port;
  worker_ = std::make_unique<FakeWorker>(bound);
  SayHello();
  worker_.reset();
  ASSERT_TRUE(RunUntil([&] { return !listener_.lost.empty(); }));
  EXPECT_FALSE(upstream_->connected(kWorker));
  worker_ = std::make_unique<FakeWorker>(bound);
  SayHello(kNonce + 1);
  EXPECT_EQ(listener_.lost.size(), 1U);
}

TEST_F(ZmqUpstreamTest, FindsAWorkerThatStartsLater) {
  worker_.reset();
  Start();
  loop_.run_for(std::chrono::milliseconds(20));
  worker_ = std::make_unique<FakeWorker>(endpoint_);
  SayHello();
  EXPECT_TRUE(upstream_->connected(kWorker));
}

TEST_F(ZmqUpstreamTest, AsksAgainWhenHelloDoesNotCome) {
  Start({.hello_timeout = Milliseconds(200)});
  ASSERT_TRUE(Next().envelope.has_hello_request());
  // Unanswered: another connection asks.
  SayHello();
  EXPECT_GE(upstream_->counters().reconnects, 1U);
}

TEST_F(ZmqUpstreamTest, AsksAnUnknownInstanceForItsHello) {
  Start();
  SayHello();
  wire::Envelope heartbeat;
  heartbeat.mutable_heartbeat()->set_instance_nonce(kNonce + 1);
  worker_->Send(peer_, heartbeat);
  worker_->Send(peer_, ReplyTo(3, kNonce + 1), {std::string(8, 'x')});
  SayHello(kNonce + 1);
  EXPECT_EQ(upstream_->counters().unknown_instances, 2U);
  EXPECT_TRUE(listener_.heartbeats.empty());
  EXPECT_TRUE(listener_.replies.empty());
}

TEST_F(ZmqUpstreamTest, DropsAndCountsGarbage) {
  Start();
  SayHello();
  worker_->SendRaw(peer_, {"not an envelope"});
  worker_->SendRaw(peer_, {""});
  wire::Envelope cancel;  // of a kind that only frontends send
  cancel.mutable_cancel()->set_task_id(1);
  worker_->Send(peer_, cancel);
  ASSERT_TRUE(
      RunUntil([&] { return upstream_->counters().frames_unexpected == 1; }));
  EXPECT_EQ(upstream_->counters().frames_malformed, 2U);
  EXPECT_TRUE(listener_.replies.empty());
  EXPECT_TRUE(listener_.lost.empty());
}

TEST_F(ZmqUpstreamTest, SaysThatAHelloCannotBeRead) {
  Start();
  const std::string first_peer = Next().peer;
  wire::Envelope lanes = HelloOf(kNonce);
  lanes.mutable_hello()->set_lanes(0);
  worker_->Send(first_peer, lanes);
  ASSERT_TRUE(RunUntil([&] { return !listener_.refusals.empty(); }));
  EXPECT_THAT(listener_.refusals, ElementsAre(HasSubstr("lanes")));
  EXPECT_FALSE(upstream_->connected(kWorker));
  EXPECT_EQ(upstream_->counters().hellos_refused, 1U);
  EXPECT_EQ(upstream_->counters().frames_malformed, 1U);
}

TEST_F(ZmqUpstreamTest, FailsATaskWhoseReplyIsMalformed) {
  Start();
  SayHello();
  worker_->Send(peer_, ReplyTo(6), {"short"});  // 8 bytes were said
  worker_->Send(peer_, ReplyTo(7), {});         // no frame
  worker_->Send(peer_, ReplyTo(8), {std::string(8, 'x'), "more"});
  ASSERT_TRUE(RunUntil([&] { return listener_.replies.size() == 3; }));
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(listener_.replies[i].task, TaskId{6 + i});
    EXPECT_EQ(listener_.replies[i].status, wire::ERROR);
    EXPECT_TRUE(listener_.replies[i].retryable);
    EXPECT_TRUE(listener_.replies[i].tensors.empty());
  }
  EXPECT_EQ(upstream_->counters().frames_malformed, 3U);
}

TEST_F(ZmqUpstreamTest, PassesARepeatedReplyTwice) {
  // Which of them counts is the core's to say.
  Start();
  SayHello();
  worker_->Send(peer_, ReplyTo(6), {std::string(8, 'x')});
  worker_->Send(peer_, ReplyTo(6), {std::string(8, 'x')});
  ASSERT_TRUE(RunUntil([&] { return listener_.replies.size() == 2; }));
}

TEST_F(ZmqUpstreamTest, ClosesOnAFrameBeyondTheLimit) {
  Start({.max_message_bytes = 4096, .hello_timeout = kHelloTimeout});
  SayHello();
  worker_->Send(peer_, ReplyTo(6), {std::string(5000, 'x')});
  ASSERT_TRUE(RunUntil([&] { return !listener_.lost.empty(); }));
  EXPECT_TRUE(listener_.replies.empty());
  SayHello();  // and connects anew
}

TEST_F(ZmqUpstreamTest, SendsNoTensorThatWouldEndTheConnection) {
  Start();
  SayHello();
  EXPECT_THAT(Infer(1, (1 << 18) + 1),
              StatusIs(absl::StatusCode::kOutOfRange,
                       HasSubstr("want at most 1048576")));
  EXPECT_EQ(upstream_->counters().sends_refused, 1U);
  ASSERT_THAT(Infer(2, 1 << 18), IsOk());
  EXPECT_EQ(Next().envelope.infer().task_id(), 2U);
}

TEST_F(ZmqUpstreamTest, RefusesTasksWhenTheWorkerStopsReading) {
  Start();
  SayHello();
  // The fake worker reads nothing: pipes and socket buffers fill up.
  absl::Status last;
  for (uint64_t task = 1; task <= 4096 && last.ok(); ++task) {
    last = Infer(task, 100'000);
    loop_.poll();
  }
  EXPECT_THAT(last, StatusIs(absl::StatusCode::kResourceExhausted,
                             HasSubstr("queue is full")));
  EXPECT_GE(upstream_->counters().sends_refused, 1U);
}

TEST_F(ZmqUpstreamTest, RefusesEndpointsThatMakeNoSense) {
  UpstreamOptions bad;
  bad.workers = {{.endpoint = "carrier-pigeon://roof"}};
  EXPECT_THAT(ZmqUpstream::Create(loop_, bad, &listener_),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("carrier-pigeon://roof")));
  UpstreamOptions twice;
  twice.workers = {{.endpoint = endpoint_}, {.endpoint = endpoint_}};
  EXPECT_THAT(ZmqUpstream::Create(loop_, twice, &listener_),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("share one endpoint")));
}

TEST_F(ZmqUpstreamTest, ServesManyWorkersOverOneSocket) {
  constexpr size_t kWorkers = 8;
  std::vector<std::unique_ptr<FakeWorker>> workers;
  UpstreamOptions options{.hello_timeout = kHelloTimeout};
  for (size_t i = 0; i < kWorkers; ++i) {
    workers.push_back(std::make_unique<FakeWorker>());
    options.workers.push_back({.endpoint = workers[i]->endpoint()});
  }
  PARM_ASSERT_OK_AND_ASSIGN(upstream_,
                            ZmqUpstream::Create(loop_, options, &listener_));
  std::vector<size_t> tasks(kWorkers);
  const auto serve = [&] {
    for (size_t i = 0; i < kWorkers; ++i) {
      while (const auto message = workers[i]->Receive()) {
        if (message->envelope.has_hello_request()) {
          workers[i]->Send(message->peer, HelloOf(kNonce + i));
        } else {
          EXPECT_EQ(message->envelope.infer().task_id(), i + 1);
          ++tasks[i];
        }
      }
    }
  };
  ASSERT_TRUE(RunUntil([&] {
    serve();
    return listener_.hellos.size() == kWorkers;
  }));
  for (size_t i = 0; i < kWorkers; ++i) {
    ASSERT_THAT(
        upstream_->SendInfer(WorkerId{static_cast<uint32_t>(i)},
                             {.task = TaskId{i + 1}, .bundle_sha256 = sha256_},
                             {TensorOf(2, 1)}),
        IsOk());
  }
  ASSERT_TRUE(RunUntil([&] {
    serve();
    return tasks == std::vector<size_t>(kWorkers, 1);
  }));
}

}  // namespace
}  // namespace parm
