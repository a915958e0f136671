// The worker's HTTP port over real sockets.

#include "backends/http_port.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/oip/infer_request_codec.h"
#include "proto/oip/infer_response_codec.h"
#include "tests/backends/raw_frontend.h"
#include "tests/backends/running_worker.h"
#include "tests/support/matchers.h"
#include "tests/support/raw_http_client.h"

namespace parm {
namespace {

using ::testing::HasSubstr;

const std::vector<float> kSample = {4, 3, 2, 1};

// POST of one sample, binary both ways.
std::string Infer(const std::vector<float>& sample,
                  const std::string& path = "/v2/models/linear/infer",
                  const std::string& more_headers = "") {
  oip::InferRequest request = {.id = "7", .binary_outputs = true};
  request.inputs.push_back(
      {.spec = {.name = "x",
                .datatype = DataType::kFp32,
                .shape = {1, static_cast<int64_t>(sample.size())}},
       .data = Buffer::FromString(BytesOf(sample))});
  const auto encoded = oip::WriteInferRequest(request, true);
  EXPECT_THAT(encoded, IsOk());
  const oip::Body body = oip::Flatten(*encoded);
  return absl::StrCat("POST ", path, " HTTP/1.1\r\nHost: x\r\n", more_headers,
                      "Inference-Header-Content-Length: ", *body.json_bytes,
                      "\r\nContent-Length: ", body.size, "\r\n\r\n",
                      absl::string_view(reinterpret_cast<const char*>(
                                            body.storage.bytes().data()),
                                        body.size));
}

std::string Get(const std::string& path) {
  return absl::StrCat("GET ", path, " HTTP/1.1\r\nHost: x\r\n\r\n");
}

std::string PostJson(const std::string& json) {
  return absl::StrCat("POST /v2/models/linear/infer HTTP/1.1\r\nHost: x\r\n",
                      "Content-Length: ", json.size(), "\r\n\r\n", json);
}

class HttpPortTest : public ::testing::Test {
 protected:
  void Start(const RunningWorker::Settings& settings = {},
             const HttpPort::Options& options = {}) {
    worker_ = std::make_unique<RunningWorker>(settings);
    auto port = HttpPort::Open(options, worker_->loop());
    ASSERT_THAT(port, IsOk());
    port_ = *std::move(port);
  }
  void TearDown() override {
    if (worker_ == nullptr) return;
    worker_->Stop();
    port_->Stop(Milliseconds(1000));
    port_.reset();
  }
  RawReply Ask(const std::string& request) {
    return RawHttpClient(port_->port()).Ask(request);
  }

  struct Held {
    uint32_t in_flight = 0;
    uint32_t queued = 0;
  };
  static void AwaitHeartbeat(RawFrontend& watcher, Held want) {
    while (true) {
      const auto heartbeat = watcher.ReceiveHeartbeat();
      ASSERT_TRUE(heartbeat.has_value()) << "no such heartbeat in time";
      if (heartbeat->in_flight() == want.in_flight &&
          heartbeat->queue_depth() == want.queued) {
        return;
      }
    }
  }

  // The port ends before the loop that it names.
  std::unique_ptr<RunningWorker> worker_;
  std::unique_ptr<HttpPort> port_;
};

TEST_F(HttpPortTest, SaysWhatItServesAndHowItIs) {
  Start();
  RawHttpClient client(port_->port());
  EXPECT_EQ(client.Ask(Get("/v2/health/live")).status, 200);
  EXPECT_EQ(client.Ask(Get("/v2/health/ready?x=1")).status, 200);
  EXPECT_THAT(client.Ask(Get("/v2")).body, HasSubstr("binary_tensor_data"));
  const RawReply model = client.Ask(Get("/v2/models/linear"));
  EXPECT_EQ(model.status, 200);
  EXPECT_THAT(model.body, HasSubstr("\"shape\":[-1,4]"));
  EXPECT_EQ(client.Ask(Get("/v2/models/linear/versions/1")).status, 200);
  EXPECT_EQ(client.Ask(Get("/v2/models/l%69near")).status, 200) << "encoded";
  EXPECT_EQ(client.Ask(Get("/v2/models/linear/ready")).status, 200);
}

TEST_F(HttpPortTest, AnswersWithTheModelsOutputs) {
  Start();
  RawHttpClient client(port_->port());
  for (int i = 0; i < 3; ++i) {
    const RawReply reply = client.Ask(Infer(kSample));
    ASSERT_EQ(reply.status, 200) << reply.body;
    const size_t json_bytes =
        std::stoul(reply.headers.at("inference-header-content-length"));
    EXPECT_THAT(reply.body.substr(0, json_bytes), HasSubstr("\"id\":\"7\""));
    EXPECT_EQ(reply.body.substr(json_bytes),
              BytesOf(LinearOutput(RunningWorker::kModel, kSample)));
  }
  const RawReply json = client.Ask(
      PostJson(R"({"inputs":[{"name":"x","datatype":"FP32","shape":[1,4],)"
               R"("data":[4,3,2,1]}]})"));
  EXPECT_EQ(json.status, 200);
  EXPECT_THAT(json.body, HasSubstr("\"shape\":[1,3]"));
}

TEST_F(HttpPortTest, TakesABodyThatWaitsForContinue) {
  Start();
  const std::string request =
      Infer(kSample, "/v2/models/linear/infer", "Expect: 100-continue\r\n");
  const size_t head = request.find("\r\n\r\n") + 4;
  RawHttpClient client(port_->port());
  EXPECT_EQ(client.Ask(request.substr(0, head)).status, 100);
  EXPECT_EQ(client.Ask(request.substr(head)).status, 200);
}

TEST_F(HttpPortTest, RefusesWhatItDoesNotServe) {
  Start();
  RawHttpClient client(port_->port());
  EXPECT_EQ(client.Ask(Infer({1, 2})).status, 400);
  EXPECT_EQ(client.Ask(PostJson("{")).status, 400);
  EXPECT_EQ(client.Ask(Infer(kSample, "/v2/models/other/infer")).status, 404);
  EXPECT_EQ(
      client.Ask(Infer(kSample, "/v2/models/linear/versions/2/infer")).status,
      404);
  EXPECT_EQ(client.Ask(Infer(kSample, "/v2/models/linear/explain")).status,
            404);
  EXPECT_EQ(client.Ask(Get("/")).status, 404);
  EXPECT_EQ(client.Ask(Get("/v2/models/other")).status, 404);
  EXPECT_EQ(client.Ask(Get("/v2/models/linear/a/b")).status, 404);
  EXPECT_EQ(client.Ask("PUT /v2 HTTP/1.1\r\nHost: x\r\n\r\n").status, 501);
  EXPECT_EQ(client.Ask(Infer(kSample)).status, 200);
}

TEST_F(HttpPortTest, AnswersRequestsThatCannotBeRead) {
  Start({}, {.max_body_bytes = 1000});
  EXPECT_EQ(Ask("nonsense\r\n\r\n").status, 400);
  EXPECT_EQ(Ask("POST /v2/models/linear/infer HTTP/1.1\r\n\r\n").status, 400);
  EXPECT_EQ(Ask("POST /v2/models/linear/infer HTTP/1.1\r\n"
                "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
                .status,
            400);
  EXPECT_EQ(Ask("POST /v2/models/linear/infer HTTP/1.1\r\n"
                "Content-Length: 1001\r\n\r\n")
                .status,
            413);
  EXPECT_EQ(Ask("POST /v2/models/linear/infer HTTP/1.1\r\n"
                "Inference-Header-Content-Length: 3\r\n"
                "Content-Length: 2\r\n\r\n{}")
                .status,
            400);
  EXPECT_EQ(
      Ask("GET /v2 HTTP/1.1\r\nx: " + std::string(20'000, 'x') + "\r\n\r\n")
          .status,
      400);
}

TEST_F(HttpPortTest, AFullQueueIsSaidAtOnce) {
  Start({.loop = {.id = "w1",
                  .fault_domain = "r",
                  .bind = "tcp://127.0.0.1:0",
                  .max_queue = 1,
                  .heartbeat_interval = Milliseconds(1)}});
  worker_->gate().Close();
  RawFrontend watcher(worker_->endpoint());
  ASSERT_TRUE(watcher.Hello().has_value());
  RawHttpClient running(port_->port());
  ASSERT_TRUE(running.Send(Infer(kSample)));
  AwaitHeartbeat(watcher, {.in_flight = 1, .queued = 0});
  RawHttpClient waiting(port_->port());
  ASSERT_TRUE(waiting.Send(Infer(kSample)));
  AwaitHeartbeat(watcher, {.in_flight = 1, .queued = 1});
  const RawReply refused = Ask(Infer(kSample));
  EXPECT_EQ(refused.status, 503);
  EXPECT_THAT(refused.body, HasSubstr("queue is full"));
  worker_->gate().Open();
  EXPECT_EQ(running.ReadReply().status, 200);
  EXPECT_EQ(waiting.ReadReply().status, 200);
}

TEST_F(HttpPortTest, BytesOfBodiesAreBounded) {
  Start({.loop = {.id = "w1",
                  .fault_domain = "r",
                  .bind = "tcp://127.0.0.1:0",
                  .heartbeat_interval = Milliseconds(1)}},
        {.max_held_bytes = 1});  // one body, whatever its size
  worker_->gate().Close();
  RawFrontend watcher(worker_->endpoint());
  ASSERT_TRUE(watcher.Hello().has_value());
  RawHttpClient running(port_->port());
  ASSERT_TRUE(running.Send(Infer(kSample)));
  AwaitHeartbeat(watcher, {.in_flight = 1, .queued = 0});
  const RawReply refused = Ask(Infer(kSample));
  EXPECT_EQ(refused.status, 503);
  EXPECT_THAT(refused.body, HasSubstr("too many bytes"));
  worker_->gate().Open();
  EXPECT_EQ(running.ReadReply().status, 200);
  EXPECT_EQ(running.Ask(Infer(kSample)).status, 200) << "the room is back";
}

TEST_F(HttpPortTest, ADrainingWorkerSendsQueriesElsewhere) {
  Start();
  RawHttpClient client(port_->port());
  EXPECT_EQ(client.Ask(Get("/v2/health/ready")).status, 200);
  worker_->Stop();
  EXPECT_EQ(client.Ask(Get("/v2/health/ready")).status, 503);
  EXPECT_EQ(client.Ask(Infer(kSample)).status, 503);
}

TEST_F(HttpPortTest, AnInjectedErrorMayBeTriedElsewhere) {
  Start({.loop = {.id = "w1",
                  .fault_domain = "r",
                  .bind = "tcp://127.0.0.1:0",
                  .fault_windows = {{.error_probability = 1}}}});
  EXPECT_EQ(Ask(Infer(kSample)).status, 503);
}

TEST_F(HttpPortTest, AModelThatFailsIsAnError) {
  Start();
  EXPECT_EQ(Ask(Infer({LinearModelSpec::kErrorInput, 0, 0, 0})).status, 500);
}

TEST_F(HttpPortTest, ADroppedReplyKeepsTheConnectionOpen) {
  Start({.loop = {.id = "w1",
                  .fault_domain = "r",
                  .bind = "tcp://127.0.0.1:0",
                  .fault_windows = {{.drop_probability = 1}}}},
        {.max_connections = 1});
  auto silent = std::make_unique<RawHttpClient>(port_->port());
  ASSERT_TRUE(silent->Send(Infer(kSample)));
  // While it is there, no other finds a place; once it goes, another does.
  RawHttpClient refused(port_->port());
  EXPECT_TRUE(refused.AtEnd());
  silent.reset();
  int tries = 0;
  while (Ask(Get("/v2/health/live")).status != 200 && ++tries < 10'000) {
  }
  EXPECT_LT(tries, 10'000);
}

TEST_F(HttpPortTest, SharesTheQueueWithFrontends) {
  Start();
  RawFrontend frontend(worker_->endpoint());
  ASSERT_TRUE(frontend.Hello().has_value());
  EXPECT_EQ(Ask(Infer(kSample)).status, 200);
  worker_->RequestDrain();
  const WorkerCounters counters = worker_->Stop();
  EXPECT_EQ(counters.tasks, 1);
  EXPECT_EQ(counters.replies_ok, 1);
}

TEST_F(HttpPortTest, SaysThatItCannotListen) {
  Start();
  EXPECT_THAT(HttpPort::Open({.port = port_->port()}, worker_->loop()),
              StatusIs(absl::StatusCode::kUnavailable,
                       HasSubstr(absl::StrCat("127.0.0.1:", port_->port()))));
  EXPECT_THAT(
      HttpPort::Open({.address = "nowhere"}, worker_->loop()),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("got 'nowhere'")));
}

}  // namespace
}  // namespace parm
