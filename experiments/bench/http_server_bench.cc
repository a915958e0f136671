// What HTTP costs the frontend: CPU time of the loop thread per inference
// request of HttpServer over a service that answers at once. The client is a
// closed loop on this thread, over 1 or 16 connections: with 16 the loop finds
// several requests at each turn, as under load.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "benchmark/benchmark.h"
#include "frontend/serve/http_server.h"
#include "proto/oip/infer_request_codec.h"

namespace parm {
namespace {

constexpr int64_t kNumScores = 10;

/// Answers each query with the same ten scores, one turn of the loop later.
class ScoresService final : public QueryService {
 public:
  explicit ScoresService(boost::asio::io_context& io) : io_(io) {
    std::byte* data;
    scores_ = Buffer::Allocate(kNumScores * sizeof(float), &data);
    std::memset(data, 0, scores_.size());
  }

  QueryHandle Infer(oip::InferRequest request, Done done) override {
    boost::asio::post(
        io_, [this, input = std::move(request), done = std::move(done)] {
          QueryReply reply;
          reply.source = "exact";
          reply.response.model_name = input.model_name;
          reply.response.model_version = "1";
          reply.response.outputs.push_back(
              {{"scores", DataType::kFp32, {1, kNumScores}}, scores_});
          done(std::move(reply));
        });
    return QueryHandle(1);
  }
  void Abandon(QueryHandle) override { PARM_CHECK(false); }
  bool Ready() const override { return true; }
  absl::StatusOr<bool> ModelReady(const std::string&,
                                  const std::string&) const override {
    return true;
  }
  absl::StatusOr<ModelMetadata> Metadata(const std::string&,
                                         const std::string&) const override {
    return absl::UnavailableError("not needed here");
  }
  std::vector<std::string> ModelNames() const override { return {}; }
  absl::StatusOr<std::vector<oip::ModelStatistics>> Statistics(
      const std::string&, const std::string&) const override {
    return std::vector<oip::ModelStatistics>();
  }
  std::string MetricsText() override { return ""; }

 private:
  boost::asio::io_context& io_;
  Buffer scores_;
};

std::string MakeRequest(int64_t num_floats, bool binary) {
  std::byte* data;
  Buffer values =
      Buffer::Allocate(static_cast<size_t>(num_floats) * sizeof(float), &data);
  for (int64_t i = 0; i < num_floats; ++i) {
    const float value = static_cast<float>(i % 256) / 255;
    std::memcpy(data + static_cast<size_t>(i) * sizeof(value), &value,
                sizeof(value));
  }
  oip::InferRequest request{.id = "17", .binary_outputs = binary};
  request.inputs.push_back(
      {{"input", DataType::kFp32, {1, num_floats}}, values});
  const auto encoded = oip::WriteInferRequest(request, binary);
  PARM_CHECK(encoded.ok());
  const oip::Body body = oip::Flatten(*encoded);
  std::string text = absl::StrCat(
      "POST /v2/models/fashion/infer HTTP/1.1\r\nHost: 127.0.0.1\r\n",
      binary
          ? absl::StrCat("Inference-Header-Content-Length: ", *body.json_bytes,
                         "\r\n")
          : "",
      "Content-Length: ", body.size, "\r\n\r\n");
  text.append(reinterpret_cast<const char*>(body.storage.bytes().data()),
              body.size);
  return text;
}

int Connect(uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  PARM_CHECK(connect(fd, reinterpret_cast<const sockaddr*>(&address),
                     sizeof(address)) == 0);
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  return fd;
}

void SendAll(int fd, const std::string& text) {
  PARM_CHECK(send(fd, text.data(), text.size(), MSG_NOSIGNAL) ==
             static_cast<ssize_t>(text.size()));
}

/// Replies are smaller than a segment and so arrive in one piece.
void AwaitReply(int fd) {
  char bytes[4096];
  const ssize_t size = recv(fd, bytes, sizeof(bytes), 0);
  PARM_CHECK(size > 15 && std::memcmp(bytes, "HTTP/1.1 200 OK", 15) == 0);
}

double CpuSecondsOf(std::thread& thread) {
  clockid_t clock;
  PARM_CHECK(pthread_getcpuclockid(thread.native_handle(), &clock) == 0);
  timespec time;
  PARM_CHECK(clock_gettime(clock, &time) == 0);
  return static_cast<double>(time.tv_sec) +
         static_cast<double>(time.tv_nsec) * 1e-9;
}

void HttpInfer(benchmark::State& state, bool binary) {
  boost::asio::io_context io(1);
  ScoresService service(io);
  auto server = HttpServer::Create(io, {}, &service);
  PARM_CHECK(server.ok());
  const std::string request = MakeRequest(state.range(0), binary);
  std::vector<int> connections;
  for (int64_t i = 0; i < state.range(1); ++i) {
    connections.push_back(Connect((*server)->port()));
  }
  std::thread loop([&] { io.run(); });
  for (const int fd : connections) SendAll(fd, request);
  for (const int fd : connections) AwaitReply(fd);
  const double before_s = CpuSecondsOf(loop);
  for (auto _ : state) {
    for (const int fd : connections) SendAll(fd, request);
    for (const int fd : connections) AwaitReply(fd);
  }
  const double used_s = CpuSecondsOf(loop) - before_s;
  const auto num_requests = state.iterations() * state.range(1);
  state.SetItemsProcessed(num_requests);
  state.counters["loop_cpu_us_per_request"] =
      used_s * 1e6 / static_cast<double>(num_requests);
  io.stop();
  loop.join();
  for (const int fd : connections) close(fd);
}

BENCHMARK_CAPTURE(HttpInfer, binary, true)
    ->ArgNames({"floats", "connections"})
    ->ArgsProduct({{784, 3072}, {1, 16}})
    ->UseRealTime();
BENCHMARK_CAPTURE(HttpInfer, json, false)
    ->ArgNames({"floats", "connections"})
    ->Args({784, 1})
    ->UseRealTime();

}  // namespace
}  // namespace parm
