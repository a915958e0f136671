#pragma once

// What the tests of both protocols to model servers share: an upstream's
// listener that writes everything down, and a loop that turns until something
// is so. The server is worker 3.

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "frontend/upstream/upstream_listener.h"
#include "gtest/gtest.h"

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

/// False if it was not in a minute.
inline bool RunLoopUntil(boost::asio::io_context& loop,
                         const std::function<bool()>& done) {
  const auto give_up =
      std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!done()) {
    if (std::chrono::steady_clock::now() > give_up) return false;
    loop.run_one_for(std::chrono::milliseconds(2));
  }
  return true;
}

}  // namespace parm
