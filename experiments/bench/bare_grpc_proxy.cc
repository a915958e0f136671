// parm-bare-grpc-proxy: the least that a gRPC proxy on this library can do, as
// the price that parm-frontend's is compared with (proxy_cost.py). Unary calls
// of any method go to the servers in turns; messages pass as bytes, nobody
// parses them, and metadata does not pass. One thread waits on one completion
// queue for both sides. Ends with SIGINT or SIGTERM.

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <signal.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "CLI/CLI.hpp"

namespace parm {
namespace {

/// Calls that may begin before the thread is back at the queue.
constexpr int kNumWaiting = 64;

class BareProxy {
 public:
  /// Port 0 picks one; 0 is returned if it cannot be listened on.
  int Listen(uint16_t port, const std::vector<std::string>& servers);
  /// Until Stop.
  void Run();
  /// From another thread.
  void Stop();

 private:
  class Call;

  grpc::AsyncGenericService service_;
  std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  std::unique_ptr<grpc::Server> server_;
  std::vector<std::unique_ptr<grpc::GenericStub>> stubs_;
  size_t next_stub_ = 0;
};

/// One call, and the tag of its next event; deletes itself behind the last.
class BareProxy::Call {
 public:
  explicit Call(BareProxy* proxy) : proxy_(*proxy) {
    proxy_.service_.RequestCall(&context_, &stream_, proxy_.queue_.get(),
                                proxy_.queue_.get(), this);
  }

  void Proceed(bool ok);

 private:
  enum class Step : uint8_t { kWait, kRead, kAsk, kReply };

  void Ask();
  void Reply();

  BareProxy& proxy_;
  Step step_ = Step::kWait;
  grpc::GenericServerContext context_;
  grpc::GenericServerAsyncReaderWriter stream_{&context_};
  grpc::ByteBuffer request_;
  grpc::ClientContext client_context_;
  std::unique_ptr<grpc::GenericClientAsyncResponseReader> reader_;
  grpc::ByteBuffer reply_;
  grpc::Status status_;
};

void BareProxy::Call::Proceed(bool ok) {
  switch (step_) {
    case Step::kWait:
      if (!ok) break;  // The server ends.
      new Call(&proxy_);
      step_ = Step::kRead;
      stream_.Read(&request_, this);
      return;
    case Step::kRead:
      if (!ok) break;  // The client has gone.
      Ask();
      return;
    case Step::kAsk:
      Reply();
      return;
    case Step::kReply:
      break;
  }
  delete this;
}

void BareProxy::Call::Ask() {
  step_ = Step::kAsk;
  client_context_.set_deadline(context_.deadline());
  grpc::GenericStub& stub = *proxy_.stubs_[proxy_.next_stub_];
  proxy_.next_stub_ = (proxy_.next_stub_ + 1) % proxy_.stubs_.size();
  reader_ = stub.PrepareUnaryCall(&client_context_, context_.method(), request_,
                                  proxy_.queue_.get());
  reader_->StartCall();
  reader_->Finish(&reply_, &status_, this);
}

void BareProxy::Call::Reply() {
  step_ = Step::kReply;
  if (status_.ok()) {
    stream_.WriteAndFinish(reply_, grpc::WriteOptions(), status_, this);
  } else {
    stream_.Finish(status_, this);
  }
}

int BareProxy::Listen(uint16_t port, const std::vector<std::string>& servers) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(-1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  for (const std::string& server : servers) {
    stubs_.push_back(
        std::make_unique<grpc::GenericStub>(grpc::CreateCustomChannel(
            "ipv4:" + server, grpc::InsecureChannelCredentials(), arguments)));
  }
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(-1);
  builder.SetMaxSendMessageSize(-1);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  int bound = 0;
  builder.AddListeningPort("127.0.0.1:" + std::to_string(port),
                           grpc::InsecureServerCredentials(), &bound);
  builder.RegisterAsyncGenericService(&service_);
  queue_ = builder.AddCompletionQueue();
  server_ = builder.BuildAndStart();
  return server_ == nullptr ? 0 : bound;
}

void BareProxy::Run() {
  for (int i = 0; i < kNumWaiting; ++i) new Call(this);
  void* tag = nullptr;
  bool ok = false;
  while (queue_->Next(&tag, &ok)) static_cast<Call*>(tag)->Proceed(ok);
}

void BareProxy::Stop() {
  server_->Shutdown(std::chrono::system_clock::now());
  queue_->Shutdown();
}

}  // namespace
}  // namespace parm

int main(int argc, char** argv) {
  CLI::App app("Passes gRPC calls on to servers, untouched.");
  uint16_t port = 0;
  std::vector<std::string> servers;
  app.add_option("--grpc-port", port, "Port on 127.0.0.1; 0 picks one");
  app.add_option("--server", servers, "ADDRESS:PORT; several")->required();
  CLI11_PARSE(app, argc, argv);

  // Blocked before the library's threads start, so that sigwait gets them.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  parm::BareProxy proxy;
  const int bound = proxy.Listen(port, servers);
  if (bound == 0) {
    std::fprintf(stderr, "parm-bare-grpc-proxy: cannot listen on port %d\n",
                 port);
    return 1;
  }
  std::thread thread([&proxy] { proxy.Run(); });
  std::printf("parm-bare-grpc-proxy ready grpc=127.0.0.1:%d\n", bound);
  std::fflush(stdout);
  int signal = 0;
  sigwait(&signals, &signal);
  proxy.Stop();
  thread.join();
  return 0;
}
