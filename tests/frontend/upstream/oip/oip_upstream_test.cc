#include "frontend/upstream/oip/oip_upstream.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/frontend/upstream/oip/fake_model_server.h"
#include "tests/frontend/upstream/oip/one_server_fixture.h"
#include "tests/support/matchers.h"

namespace parm {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class OipUpstreamTest : public OneServerFixture {
 protected:
  void Start() {
    StartBefore({.endpoint = server_->url(), .kind = kind_, .lanes = 2});
  }
  void StartAndMeet() {
    Start();
    ASSERT_TRUE(RunUntil([&] { return !listener_.hellos.empty(); }));
  }

  // Sends a task, and answers it with `bytes` and the connection's end if
  // `close`.
  WorkerReply Exchange(const std::string& bytes, bool close = false) {
    server_->on_infer = [&](const FakeModelServer::Request&,
                            const FakeModelServer::Peer& peer) {
      if (!bytes.empty()) peer.Send(bytes);
      if (close) peer.Close();
    };
    return SendNext();
  }

  std::string Reply(int status, const std::string& body) {
    return absl::StrCat("HTTP/1.1 ", status,
                        " X\r\nContent-Length: ", body.size(), "\r\n\r\n",
                        body);
  }

  std::unique_ptr<FakeModelServer> server_ =
      std::make_unique<FakeModelServer>(loop_);
  ServerKind kind_ = ServerKind::kAuto;
};

TEST_F(OipUpstreamTest, SaysHelloFromTheServersMetadata) {
  StartAndMeet();
  const wire::Hello& hello = listener_.hellos[0];
  EXPECT_THAT(hello.worker_id(), HasSubstr("triton 127.0.0.1:"));
  EXPECT_EQ(hello.lanes(), 2U);
  ASSERT_EQ(hello.bundles_size(), 1);
  const wire::BundleInfo& bundle = hello.bundles(0);
  EXPECT_EQ(bundle.model(), "ours");
  EXPECT_EQ(bundle.version(), "1");
  EXPECT_EQ(bundle.role(), wire::DEPLOYED);
  EXPECT_EQ(bundle.sha256().size(), 32U);
  EXPECT_EQ(bundle.inputs(0).name(), "x");
  EXPECT_EQ(bundle.outputs(0).datatype(), wire::FP32);
  ASSERT_TRUE(RunUntil([&] { return listener_.heartbeats > 3; }));
}

TEST_F(OipUpstreamTest, CarriesATaskThereAndBackInBinary) {
  StartAndMeet();
  FakeModelServer::Request seen;
  server_->on_infer = [&](const FakeModelServer::Request& request,
                          const FakeModelServer::Peer& peer) {
    seen = request;
    peer.Send(BinaryAnswer(Bytes(5, 6)));
  };
  ASSERT_THAT(Send(1), IsOk());
  ASSERT_TRUE(RunUntil([&] { return !listener_.replies.empty(); }));
  EXPECT_EQ(seen.target, "/v2/models/m/infer");
  EXPECT_THAT(seen.body, HasSubstr(R"("binary_data_output":true)"));
  EXPECT_THAT(seen.body, HasSubstr(Bytes(1, 2)));
  const WorkerReply& reply = listener_.replies[0];
  EXPECT_EQ(reply.status, wire::OK);
  EXPECT_TRUE(reply.decodable);
  ASSERT_EQ(reply.tensors.size(), 1U);
  EXPECT_EQ(reply.tensors[0].spec.name, "y");
  const auto bytes = reply.tensors[0].data.bytes();
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(bytes.data()), 8),
            Bytes(5, 6));
}

TEST_F(OipUpstreamTest, SpeaksJsonToServersWithoutBinary) {
  server_->server_metadata = R"({"name":"mlserver","extensions":[]})";
  StartAndMeet();
  std::string content_type;
  std::string body;
  server_->on_infer = [&](FakeModelServer::Request request,
                          const FakeModelServer::Peer& peer) {
    content_type = request.headers["content-type"];
    body = request.body;
    peer.Reply(200, R"({"model_name":"m","outputs":[{"name":"y",)"
                    R"("datatype":"FP32","shape":[1,2],"data":[[5,6]]}]})");
  };
  ASSERT_THAT(Send(1), IsOk());
  ASSERT_TRUE(RunUntil([&] { return !listener_.replies.empty(); }));
  EXPECT_EQ(content_type, "application/json");
  EXPECT_THAT(body, HasSubstr(R"("data":[1,2])"));
  ASSERT_EQ(listener_.replies[0].status, wire::OK);
  EXPECT_EQ(listener_.replies[0].tensors[0].data.size(), 8U);
}

TEST_F(OipUpstreamTest, KeepsConnectionsWarm) {
  StartAndMeet();
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(Exchange(BinaryAnswer(Bytes(1, 1))).status, wire::OK);
  }
  // One for health, one for tasks.
  EXPECT_LE(server_->num_connections(), 2);
  EXPECT_GE(counters().connections.reused, 20U);
}

TEST_F(OipUpstreamTest, SendsAgainWhenAWarmConnectionWasClosed) {
  StartAndMeet();
  int requests = 0;
  // Whatever comes second on a connection meets a closed one.
  server_->on_infer = [&](const FakeModelServer::Request&,
                          const FakeModelServer::Peer& peer) {
    if (++requests == 1) return peer.Close();
    peer.Send(BinaryAnswer(Bytes(1, 1)));
  };
  ASSERT_THAT(Send(1), IsOk());
  ASSERT_TRUE(RunUntil([&] { return !listener_.replies.empty(); }));
  EXPECT_EQ(listener_.replies[0].status, wire::OK);
  EXPECT_EQ(requests, 2);
  EXPECT_EQ(counters().connections.resent, 1U);
}

TEST_F(OipUpstreamTest, SendsAStepOfASequenceOnce) {
  StartAndMeet();
  int requests = 0;
  server_->on_infer = [&](const FakeModelServer::Request&,
                          const FakeModelServer::Peer& peer) {
    ++requests;
    peer.Close();
  };
  oip::RequestContext step;
  step.parameters.emplace_back("sequence_id", int64_t{7});
  ASSERT_THAT(Send(1, Milliseconds(60'000), Bytes(1, 2), &step), IsOk());
  ASSERT_TRUE(RunUntil([&] { return !listener_.replies.empty(); }));
  EXPECT_EQ(listener_.replies[0].status, wire::ERROR);
  EXPECT_EQ(requests, 1);
  EXPECT_EQ(counters().connections.resent, 0U);
}

TEST_F(OipUpstreamTest, ReportsBrokenRepliesAsRetryableErrors) {
  StartAndMeet();
  const std::string whole = BinaryAnswer(Bytes(1, 1));
  const std::string http10 = "HTTP/1.0 200 OK\r\n\r\n{\"error\":\"x\"}";
  for (const std::string& bytes :
       {whole.substr(0, whole.size() - 3), whole.substr(0, 40),
        std::string("garbage\r\n\r\n"), http10, Reply(200, "{}"),
        Reply(200, R"({"error":"x"})"), Reply(500, R"({"error":"x"})"),
        std::string()}) {
    SCOPED_TRACE(bytes);
    const WorkerReply reply = Exchange(bytes, /*close=*/true);
    EXPECT_EQ(reply.status, wire::ERROR);
    EXPECT_TRUE(reply.retryable);
    EXPECT_FALSE(reply.error.empty());
  }
  EXPECT_GE(Ended(ExchangeEnd::kMalformed), 3U);
  EXPECT_EQ(Ended(ExchangeEnd::kBroken), 1U);
  EXPECT_EQ(counters().replies.malformed, 3U);
  EXPECT_EQ(counters().replies.failed, 1U);
  EXPECT_EQ(listener_.lost, 0);  // it answers when it is asked how it is
}

TEST_F(OipUpstreamTest, ReportsRefusedRequestsForGood) {
  StartAndMeet();
  const WorkerReply reply =
      Exchange(Reply(400, R"({"error":"unexpected shape"})"));
  EXPECT_EQ(reply.status, wire::ERROR);
  EXPECT_FALSE(reply.retryable);
  EXPECT_EQ(reply.error_code, absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(reply.error, "HTTP 400: unexpected shape");
  EXPECT_EQ(counters().replies.refused, 1U);
}

TEST_F(OipUpstreamTest, RefusesRepliesThatAreTooLarge) {
  options_.max_reply_bytes = 1000;
  StartAndMeet();
  const WorkerReply reply = Exchange(Reply(200, std::string(1001, ' ')));
  EXPECT_TRUE(reply.retryable);
  EXPECT_EQ(Ended(ExchangeEnd::kTooLarge), 1U);
}

TEST_F(OipUpstreamTest, DrainsLosersAndKeepsTheirConnections) {
  StartAndMeet();
  std::vector<FakeModelServer::Peer> peers;
  server_->on_infer = [&](const FakeModelServer::Request&,
                          const FakeModelServer::Peer& peer) {
    peers.push_back(peer);
  };
  ASSERT_THAT(Send(1), IsOk());
  ASSERT_TRUE(RunUntil([&] { return peers.size() == 1; }));
  EXPECT_THAT(upstream_->SendCancel(WorkerId{3}, TaskId{1}), IsOk());
  peers[0].Send(BinaryAnswer(Bytes(1, 1)));
  ASSERT_TRUE(RunUntil([&] { return listener_.replies.size() == 1; }));
  EXPECT_EQ(listener_.replies[0].status, wire::CANCELLED);
  EXPECT_EQ(counters().connections.drained, 1U);
  const int connections = server_->num_connections();
  EXPECT_EQ(Exchange(BinaryAnswer(Bytes(1, 1))).status, wire::OK);
  EXPECT_EQ(server_->num_connections(), connections);
}

TEST_F(OipUpstreamTest, CutsLosersThatAreLong) {
  options_.max_drained_bytes = 1000;
  StartAndMeet();
  std::vector<FakeModelServer::Peer> peers;
  server_->on_infer = [&](const FakeModelServer::Request&,
                          const FakeModelServer::Peer& peer) {
    peers.push_back(peer);
  };
  ASSERT_THAT(Send(1), IsOk());
  ASSERT_TRUE(RunUntil([&] { return peers.size() == 1; }));
  EXPECT_THAT(upstream_->SendCancel(WorkerId{3}, TaskId{1}), IsOk());
  peers[0].Send("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nab");
  ASSERT_TRUE(RunUntil([&] { return listener_.replies.size() == 1; }));
  EXPECT_EQ(listener_.replies[0].status, wire::CANCELLED);
  EXPECT_EQ(counters().connections.cut, 1U);
}

TEST_F(OipUpstreamTest, EndsWhatIsNeverAnswered) {
  options_.keep_late = Milliseconds(1);
  StartAndMeet();
  server_->on_infer = nullptr;
  ASSERT_THAT(Send(1, Milliseconds(1)), IsOk());
  ASSERT_TRUE(RunUntil([&] { return !listener_.replies.empty(); }));
  EXPECT_EQ(listener_.replies[0].status, wire::EXPIRED);
  EXPECT_EQ(Ended(ExchangeEnd::kTimedOut), 1U);
}

TEST_F(OipUpstreamTest, TimeoutEndsTheConnectionsThatWaitedBeside) {
  options_.keep_late = Milliseconds(1);
  StartAndMeet();
  std::vector<FakeModelServer::Peer> peers;
  server_->on_infer = [&](const FakeModelServer::Request&,
                          const FakeModelServer::Peer& peer) {
    peers.push_back(peer);
  };
  for (uint64_t task = 1; task <= 4; ++task) ASSERT_THAT(Send(task), IsOk());
  ASSERT_TRUE(RunUntil([&] { return peers.size() == 4; }));
  for (const auto& peer : peers) peer.Send(BinaryAnswer(Bytes(1, 1)));
  ASSERT_TRUE(RunUntil([&] { return listener_.replies.size() == 4; }));
  server_->swallowed_up_to = server_->num_connections();
  ASSERT_THAT(Send(5, Milliseconds(1)), IsOk());
  ASSERT_TRUE(RunUntil([&] { return listener_.replies.size() == 5; }));
  EXPECT_EQ(listener_.replies[4].status, wire::EXPIRED);
  // The next one does not have to find out about each of the others.
  last_task_ = 5;
  EXPECT_EQ(Exchange(BinaryAnswer(Bytes(1, 1))).status, wire::OK);
}

TEST_F(OipUpstreamTest, BoundsWhatIsUnderWay) {
  StartAndMeet();
  server_->on_infer = nullptr;
  uint64_t task = 0;
  absl::Status status;
  while (status.ok() && task < 100) status = Send(++task);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_LE(task, 10U);  // 2 * max_in_flight, and one more at most
  EXPECT_EQ(counters().sends_refused, 1U);
  // Health has a connection left.
  const int health = server_->num_health;
  EXPECT_TRUE(RunUntil([&] { return server_->num_health > health + 2; }));
  EXPECT_GE(listener_.last_in_flight, 8U);
}

TEST_F(OipUpstreamTest, ReportsADeadServerLostAndMeetsItAgain) {
  StartAndMeet();
  server_->on_infer = nullptr;
  ASSERT_THAT(Send(1), IsOk());
  const uint16_t port = server_->port();
  server_.reset();
  ASSERT_TRUE(RunUntil([&] { return listener_.lost == 1; }));
  EXPECT_THAT(Send(2), StatusIs(absl::StatusCode::kUnavailable));
  const size_t replies = listener_.replies.size();
  server_ = std::make_unique<FakeModelServer>(loop_, port);
  ASSERT_TRUE(RunUntil([&] { return listener_.hellos.size() == 2; }));
  EXPECT_NE(listener_.hellos[0].instance_nonce(),
            listener_.hellos[1].instance_nonce());
  EXPECT_EQ(listener_.hellos[0].bundles(0).sha256(),
            listener_.hellos[1].bundles(0).sha256());
  EXPECT_EQ(listener_.replies.size(), replies);  // lost says it all
  EXPECT_EQ(Exchange(BinaryAnswer(Bytes(1, 1))).status, wire::OK);
}

TEST_F(OipUpstreamTest, IsSilentWhileTheServerIsStopped) {
  StartAndMeet();
  server_->answers_health = false;
  const int health = server_->num_health;
  ASSERT_TRUE(RunUntil([&] { return server_->num_health > health; }));
  const int before = listener_.heartbeats;
  ASSERT_TRUE(RunUntil([&] { return Ended(ExchangeEnd::kTimedOut) > 0; }));
  EXPECT_EQ(listener_.heartbeats, before);
  EXPECT_EQ(listener_.lost, 0);
  server_->answers_health = true;
  EXPECT_TRUE(RunUntil([&] { return listener_.heartbeats > before; }));
}

TEST_F(OipUpstreamTest, GivesUpAQuestionAfterItsOwnTimeout) {
  options_.check_timeout = Milliseconds(10);
  options_.keep_late = Duration{0};
  StartAndMeet();
  server_->answers_health = false;
  server_->on_infer = nullptr;
  ASSERT_THAT(Send(1, /*budget=*/Milliseconds(1900)), IsOk());
  ASSERT_TRUE(RunUntil([&] { return Ended(ExchangeEnd::kTimedOut) > 0; }));
  EXPECT_THAT(listener_.replies, IsEmpty()) << "long before the task";
  EXPECT_EQ(listener_.lost, 0);
}

TEST_F(OipUpstreamTest, DrainsWhileTheServerIsNotReady) {
  StartAndMeet();
  server_->ready_status = 400;
  ASSERT_TRUE(RunUntil([&] { return listener_.draining == 1; }));
  server_->ready_status = 200;
  ASSERT_TRUE(RunUntil([&] { return listener_.hellos.size() == 2; }));
  EXPECT_NE(listener_.hellos[0].instance_nonce(),
            listener_.hellos[1].instance_nonce());
  EXPECT_EQ(counters().not_ready, 1U);
}

TEST_F(OipUpstreamTest, WaitsForAModelToBeReady) {
  server_->model_ready_status = 503;
  Start();
  ASSERT_TRUE(RunUntil([&] { return !listener_.refused.empty(); }));
  EXPECT_THAT(listener_.refused[0], HasSubstr("ready"));
  server_->model_ready_status = 200;
  EXPECT_TRUE(RunUntil([&] { return !listener_.hellos.empty(); }));
}

TEST_F(OipUpstreamTest, NoticesAModelThatIsUnloaded) {
  StartAndMeet();
  server_->model_ready_status = 400;
  ASSERT_TRUE(RunUntil([&] { return listener_.draining == 1; }));
  EXPECT_THAT(Send(1), IsOk());  // the core sends nothing more by then
}

TEST_F(OipUpstreamTest, SaysWhyMetadataWillNotDo) {
  server_->model_metadata = R"({"name":"m","inputs":[],"outputs":[]})";
  Start();
  ASSERT_TRUE(RunUntil([&] { return !listener_.refused.empty(); }));
  EXPECT_THAT(listener_.refused[0], HasSubstr("no inputs"));
  EXPECT_GE(counters().hellos_refused, 1U);
}

TEST_F(OipUpstreamTest, MeetsAnotherVersionOfTheModelAnew) {
  StartAndMeet();
  const WorkerReply reply = Exchange(BinaryAnswer(Bytes(1, 1), "2"));
  EXPECT_EQ(reply.status, wire::OK);
  EXPECT_FALSE(reply.decodable);
  const std::string old = "\"versions\":[\"1\"]";
  server_->model_metadata.replace(server_->model_metadata.find(old), old.size(),
                                  "\"versions\":[\"2\",\"3\"]");
  ASSERT_TRUE(RunUntil([&] { return listener_.hellos.size() >= 2; }));
  EXPECT_EQ(listener_.hellos.back().bundles(0).version(), "2");
  EXPECT_NE(listener_.hellos[0].bundles(0).sha256(),
            listener_.hellos.back().bundles(0).sha256());
  EXPECT_TRUE(Exchange(BinaryAnswer(Bytes(1, 1), "2")).decodable);
}

TEST_F(OipUpstreamTest, RefusesTasksOfAnotherBundle) {
  StartAndMeet();
  listener_.hellos.back().mutable_bundles(0)->set_sha256(std::string(32, 'x'));
  EXPECT_THAT(Send(1), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(OipUpstreamTest, RefusesTasksThatJsonCannotSay) {
  server_->server_metadata = R"({"name":"mlserver"})";
  StartAndMeet();
  const oip::Tensor input{
      .spec = {.name = "x", .datatype = DataType::kFp16, .shape = {1, 2}},
      .data = Buffer::FromString("abcd")};
  EXPECT_THAT(upstream_->SendInfer(
                  WorkerId{3},
                  {.task = TaskId{1},
                   .bundle_sha256 = listener_.hellos[0].bundles(0).sha256(),
                   .budget = Milliseconds(1000)},
                  absl::MakeConstSpan(&input, 1)),
              StatusIs(absl::StatusCode::kOutOfRange));
}

TEST_F(OipUpstreamTest, RefusesABundleThatIsNotThere) {
  OipServerOptions server{
      .endpoint = "http://127.0.0.1:1",
      .url = *ParseServerUrl("http://127.0.0.1:1"),
      .serves = {{.name = "m", .server_name = "m", .bundle = "/nowhere"}}};
  options_.servers = {server};
  EXPECT_THAT(OipUpstream::Create(loop_, options_, &listener_),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/nowhere")));
}

}  // namespace
}  // namespace parm
