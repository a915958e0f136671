#pragma once

// What the tests of both protocols to model servers share: an upstream before
// one server, which is worker 3, and a listener that writes everything down.

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "frontend/upstream/oip/oip_upstream.h"
#include "frontend/upstream/upstream_listener.h"
#include "gtest/gtest.h"
#include "tests/support/matchers.h"
#include "tests/support/run_loop.h"

namespace parm {

/// Two FP32 values, as bytes.
inline std::string Bytes(float a, float b) {
  const float values[] = {a, b};
  return {reinterpret_cast<const char*>(values), sizeof(values)};
}

class RecordingListener : public UpstreamListener {
 public:
  void OnHello(WorkerId, const wire::Hello& hello) override {
    hellos.push_back(hello);
  }
  void OnHelloRefused(WorkerId, const std::string& why) override {
    refused.push_back(why);
  }
  void OnLost(WorkerId) override { ++lost; }
  void OnHeartbeat(WorkerId, uint32_t, uint32_t in_flight) override {
    ++heartbeats;
    last_in_flight = in_flight;
  }
  void OnDraining(WorkerId) override { ++draining; }
  void OnStarted(WorkerId, TaskId) override {}
  void OnReply(WorkerId worker, WorkerReply reply) override {
    EXPECT_EQ(worker, WorkerId{3});
    replies.push_back(std::move(reply));
  }

  std::vector<wire::Hello> hellos;
  std::vector<std::string> refused;
  std::vector<WorkerReply> replies;
  int lost = 0;
  int heartbeats = 0;
  int draining = 0;
  uint32_t last_in_flight = 0;
};

class OneServerFixture : public ::testing::Test {
 protected:
  /// Before the server that a test holds.
  void TearDown() override { upstream_.reset(); }

  /// Its model "m" is our "ours".
  void StartBefore(OipServerOptions server) {
    options_.first_worker = 3;
    options_.heartbeat_interval = Milliseconds(2);
    server.url = *ParseServerUrl(server.endpoint);
    server.max_in_flight = 4;
    server.serves = {{.name = "ours", .server_name = "m"}};
    options_.servers = {std::move(server)};
    PARM_ASSERT_OK_AND_ASSIGN(upstream_,
                              OipUpstream::Create(loop_, options_, &listener_));
  }

  bool RunUntil(const std::function<bool()>& done) {
    return RunLoopUntil(loop_, done);
  }

  absl::Status Send(uint64_t task, Duration budget = Milliseconds(60'000),
                    const std::string& values = Bytes(1, 2),
                    const oip::RequestContext* context = nullptr) {
    const oip::Tensor input{
        .spec = {.name = "x",
                 .datatype = DataType::kFp32,
                 .shape = {1, static_cast<int64_t>(values.size() / 4)}},
        .data = Buffer::FromString(values)};
    return upstream_->SendInfer(
        WorkerId{3},
        {.task = TaskId{task},
         .bundle_sha256 = listener_.hellos.back().bundles(0).sha256(),
         .budget = budget,
         .context = context},
        absl::MakeConstSpan(&input, 1));
  }

  /// Sends the next task and waits for its reply.
  WorkerReply SendNext() {
    const size_t before = listener_.replies.size();
    EXPECT_THAT(Send(++last_task_), IsOk());
    EXPECT_TRUE(RunUntil([&] { return listener_.replies.size() > before; }));
    if (listener_.replies.size() == before) return {};
    EXPECT_EQ(listener_.replies.back().task, TaskId{last_task_});
    return listener_.replies.back();
  }

  const OipCounters& counters() { return upstream_->counters(); }
  uint64_t Ended(ExchangeEnd end) {
    return counters().connections.exchanges[static_cast<size_t>(end)];
  }

  boost::asio::io_context loop_;
  RecordingListener listener_;
  OipOptions options_;
  std::unique_ptr<OipUpstream> upstream_;
  uint64_t last_task_ = 0;
};

}  // namespace parm
