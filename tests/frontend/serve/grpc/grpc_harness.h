#pragma once

// A GrpcServer over FakeQueryService on a thread of its own, and a channel to
// it over loopback. Whatever touches server or service runs OnLoop.

#include <grpcpp/grpcpp.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "frontend/serve/grpc/grpc_server.h"
#include "proto/oip/grpc_service.grpc.pb.h"
#include "tests/frontend/serve/fake_query_service.h"

namespace parm {

class GrpcHarness {
 public:
  static constexpr std::chrono::seconds kPatience{120};

  explicit GrpcHarness(const GrpcOptions& options = {}, int64_t num_values = 4)
      : io_(1), service_(io_, num_values) {
    auto server = GrpcServer::Create(io_, options, &service_);
    PARM_CHECK(server.ok());
    server_ = *std::move(server);
    port_ = server_->port();
    thread_ = std::thread([this] { io_.run(); });
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    channel_ = grpc::CreateCustomChannel(absl::StrCat("127.0.0.1:", port_),
                                         grpc::InsecureChannelCredentials(),
                                         arguments);
    stub_ = inference::GRPCInferenceService::NewStub(channel_);
  }
  ~GrpcHarness() {
    DestroyServer();
    io_.stop();
    thread_.join();
  }

  uint16_t port() const { return port_; }
  FakeQueryService& service() { return service_; }
  GrpcServer& server() { return *server_; }
  inference::GRPCInferenceService::Stub& stub() { return *stub_; }
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  const GrpcCounters& counters() const { return server_->counters(); }

  /// Runs `work` on the loop and returns what it returns.
  template <typename Work>
  auto OnLoop(Work work) {
    std::packaged_task<decltype(work())()> task(std::move(work));
    auto result = task.get_future();
    boost::asio::post(io_, [&task] { task(); });
    return result.get();
  }

  /// Lets the loop turn until `predicate`, asked on the loop, is true.
  template <typename Predicate>
  bool Await(Predicate predicate) {
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (std::chrono::steady_clock::now() < end) {
      if (OnLoop(predicate)) return true;
      std::this_thread::yield();
    }
    return false;
  }

  /// Waits until the service holds `count` queries.
  bool AwaitHeld(size_t count) {
    return Await([&] { return service_.held().size() == count; });
  }
  bool AwaitAbandoned(size_t count) {
    return Await([&] { return service_.abandoned.size() == count; });
  }

  void DestroyServer() {
    OnLoop([this] { server_ = nullptr; });
  }

 private:
  boost::asio::io_context io_;
  const boost::asio::executor_work_guard<boost::asio::io_context::executor_type>
      work_ = boost::asio::make_work_guard(io_);
  FakeQueryService service_;
  std::unique_ptr<GrpcServer> server_;
  uint16_t port_ = 0;
  std::thread thread_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<inference::GRPCInferenceService::Stub> stub_;
};

/// A call that is under way; what gRPC needs of it, and its end.
struct PendingInfer {
  PendingInfer(GrpcHarness& harness,
               const inference::ModelInferRequest& infer_request)
      : request(infer_request) {
    harness.stub().async()->ModelInfer(
        &context, &request, &response,
        [this](grpc::Status status) { promise.set_value(std::move(status)); });
  }
  grpc::Status Wait() { return ended.get(); }

  grpc::ClientContext context;
  inference::ModelInferRequest request;
  inference::ModelInferResponse response;
  std::promise<grpc::Status> promise;
  std::future<grpc::Status> ended = promise.get_future();
};

/// What the echo model takes.
inline inference::ModelInferRequest EchoRequest(const std::string& id = "",
                                                size_t num_values = 4) {
  inference::ModelInferRequest request;
  request.set_model_name("echo");
  request.set_id(id);
  auto* const input = request.add_inputs();
  input->set_name("INPUT");
  input->set_datatype("FP32");
  input->add_shape(1);
  input->add_shape(static_cast<int64_t>(num_values));
  std::string values(num_values * sizeof(float), '\0');
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<char>(i % 61);
  }
  request.add_raw_input_contents(std::move(values));
  return request;
}

}  // namespace parm
