#include "frontend/serve/grpc/grpc_server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "frontend/serve/grpc/call_context.h"
#include "frontend/serve/grpc/inference_service.h"
#include "frontend/serve/grpc/tls_credentials.h"
#include "frontend/serve/tls_context.h"

namespace parm {
namespace {

using boost::asio::ip::tcp;

/// How old what grpc.health.v1 says may be.
constexpr std::chrono::milliseconds kHealthPeriod(100);
constexpr std::chrono::milliseconds kDrainPeriod(5);
/// A client that says nothing for so long is asked whether it is there.
constexpr int kKeepaliveMs = 60'000;
constexpr int kKeepaliveTimeoutMs = 20'000;
constexpr int kSyncThreadsLookUpMs = 200;

absl::StatusOr<tcp::endpoint> EndpointOf(const GrpcOptions& options) {
  boost::system::error_code error;
  const auto address = boost::asio::ip::make_address(options.address, error);
  if (error) {
    return absl::InvalidArgumentError(
        absl::StrCat("not an IP address: got '", options.address, "'"));
  }
  return tcp::endpoint(address, options.port);
}

/// The gRPC library says that it cannot listen, not why: so it is tried again.
absl::Status WhyNotListening(boost::asio::io_context& io,
                             const tcp::endpoint& endpoint) {
  boost::system::error_code error;
  tcp::acceptor acceptor(io);
  if (!acceptor.open(endpoint.protocol(), error) &&
      !acceptor.set_option(tcp::acceptor::reuse_address(true), error) &&
      !acceptor.bind(endpoint, error)) {
    acceptor.listen(1, error);
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "cannot listen on ", endpoint.address().to_string(), ":", endpoint.port(),
      " for gRPC: ",
      error ? error.message() : "the gRPC library does not say why"));
}

void Configure(const GrpcOptions& options, grpc::ServerBuilder* builder) {
  builder->SetMaxReceiveMessageSize(
      static_cast<int>(options.max_message_bytes));
  builder->SetMaxSendMessageSize(-1);
  grpc::ResourceQuota quota("parm");
  // Room for one message of the largest size must be there in any case: the
  // library fails calls that meet the quota.
  quota.Resize(options.max_buffered_bytes +
               2 * size_t{options.max_message_bytes});
  builder->SetResourceQuota(quota);
  // Else two processes could share a port, each getting half of the clients.
  builder->AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
                              kKeepaliveTimeoutMs);
  builder->AddChannelArgument(
      GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS,
      static_cast<int>(options.handshake_timeout / Milliseconds(1)));
  builder->AddChannelArgument(
      GRPC_ARG_MAX_CONCURRENT_STREAMS,
      static_cast<int>(options.max_calls + options.max_streams));
  // Reflection runs on threads that look up only so often, which is how long
  // the server's end may wait for them; 10 s if nothing is said.
  builder->SetSyncServerOption(
      grpc::ServerBuilder::SyncServerOption::CQ_TIMEOUT_MSEC,
      kSyncThreadsLookUpMs);
  // The library bounds a compressed message, not what it inflates to.
  builder->AddChannelArgument(
      GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET,
      1 << GRPC_COMPRESS_NONE);
}

}  // namespace

class GrpcServer::Impl {
 public:
  Impl(boost::asio::io_context& io, const GrpcOptions& options,
       QueryService* service)
      : io_(io),
        context_(io, options, service),
        service_(MakeInferenceService(&context_)),
        other_methods_(MakeOtherMethods(&context_)),
        health_timer_(io),
        drain_timer_(io) {}
  ~Impl();

  absl::Status Start();
  absl::Status UseTls(const TlsIdentity& identity);
  uint16_t port() const { return port_; }
  const GrpcCounters& counters() const { return context_.counters; }
  void StopAccepting();
  void Drain(std::function<void()> done);

 private:
  void UpdateHealth();
  void AwaitHealth();
  void AwaitReplies(std::chrono::steady_clock::time_point give_up);
  void Shutdown();

  boost::asio::io_context& io_;
  // Handlers that were queued before the end run after it.
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  CallContext context_;
  const std::unique_ptr<grpc::Service> service_;
  const std::unique_ptr<grpc::CallbackGenericService> other_methods_;
  std::shared_ptr<TlsCredentials> tls_;  // null: plain
  std::unique_ptr<grpc::Server> server_;
  uint16_t port_ = 0;

  boost::asio::steady_timer health_timer_;
  bool serving_ = false;
  boost::asio::steady_timer drain_timer_;
  std::function<void()> drained_;
  std::thread shutdown_;  // waits for the gRPC library
};

absl::Status GrpcServer::Impl::Start() {
  PARM_ASSIGN_OR_RETURN(const tcp::endpoint endpoint,
                        EndpointOf(context_.options));
  if (context_.options.tls) {
    // The library would log what is wrong, and say nothing of it.
    PARM_RETURN_IF_ERROR(TlsContext::Create(*context_.options.tls).status());
    tls_ = std::make_shared<TlsCredentials>(*context_.options.tls);
  }
  // Both are the library's, for the whole process.
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  Configure(context_.options, &builder);
  int bound_port = 0;
  const std::string host =
      endpoint.address().is_v6()
          ? absl::StrCat("[", context_.options.address, "]")
          : context_.options.address;
  builder.AddListeningPort(
      absl::StrCat(host, ":", context_.options.port),
      tls_ == nullptr ? grpc::InsecureServerCredentials() : tls_, &bound_port);
  builder.RegisterService(service_.get());
  builder.RegisterCallbackGenericService(other_methods_.get());
  server_ = builder.BuildAndStart();
  if (server_ == nullptr || bound_port == 0) {
    return WhyNotListening(io_, endpoint);
  }
  port_ = static_cast<uint16_t>(bound_port);
  for (const char* service : {"", kInferenceServiceName}) {
    server_->GetHealthCheckService()->SetServingStatus(service, false);
  }
  UpdateHealth();
  AwaitHealth();
  return absl::OkStatus();
}

absl::Status GrpcServer::Impl::UseTls(const TlsIdentity& identity) {
  if (tls_ == nullptr) {
    return absl::FailedPreconditionError("the gRPC port speaks no TLS");
  }
  PARM_RETURN_IF_ERROR(TlsContext::Create(identity).status());
  return tls_->Use(identity);
}

// ---- Health -------------------------------------------------------------

void GrpcServer::Impl::UpdateHealth() {
  const bool serving = !context_.draining && context_.service->Ready();
  if (serving == serving_) return;
  serving_ = serving;
  server_->GetHealthCheckService()->SetServingStatus(serving);
}

void GrpcServer::Impl::AwaitHealth() {
  health_timer_.expires_after(kHealthPeriod);
  health_timer_.async_wait(
      [this, alive = alive_](const boost::system::error_code& error) {
        if (error || !*alive) return;
        UpdateHealth();
        AwaitHealth();
      });
}

// ---- The end ------------------------------------------------------------

void GrpcServer::Impl::StopAccepting() {
  if (std::exchange(context_.draining, true)) return;
  UpdateHealth();
  // Draining takes calls out of the set.
  const std::vector<OpenCall*> open(context_.open.begin(), context_.open.end());
  for (OpenCall* call : open) call->Drain();
}

void GrpcServer::Impl::Drain(std::function<void()> done) {
  StopAccepting();
  drained_ = std::move(done);
  AwaitReplies(std::chrono::steady_clock::now() +
               context_.options.drain_patience);
}

/// Looks again and again, since calls end on other threads.
void GrpcServer::Impl::AwaitReplies(
    std::chrono::steady_clock::time_point give_up) {
  drain_timer_.expires_after(kDrainPeriod);
  drain_timer_.async_wait(
      [this, alive = alive_, give_up](const boost::system::error_code& error) {
        if (error || !*alive) return;
        const bool replied = context_.open.empty() &&
                             context_.counters.open_calls == 0 &&
                             context_.counters.open_streams == 0;
        if (replied || std::chrono::steady_clock::now() >= give_up) {
          return Shutdown();
        }
        AwaitReplies(give_up);
      });
}

/// The library waits for its calls to end, which may need the loop: so another
/// thread waits for it. Watchers of health, which never end, are cancelled.
void GrpcServer::Impl::Shutdown() {
  shutdown_ = std::thread([this] {
    server_->Shutdown(std::chrono::system_clock::now() +
                      std::chrono::milliseconds(100));
    boost::asio::post(io_, [this, alive = alive_] {
      if (*alive && drained_ != nullptr) std::exchange(drained_, nullptr)();
    });
  });
}

GrpcServer::Impl::~Impl() {
  *alive_ = false;
  // From here on no call waits for the loop, so that Shutdown can end.
  context_.queue.Close();
  const std::vector<OpenCall*> open(context_.open.begin(), context_.open.end());
  for (OpenCall* call : open) call->Abort();
  if (shutdown_.joinable()) shutdown_.join();
  if (server_ != nullptr) {
    server_->Shutdown(std::chrono::system_clock::now());
  }
}

GrpcServer::GrpcServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

GrpcServer::~GrpcServer() = default;

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Create(
    boost::asio::io_context& io, const GrpcOptions& options,
    QueryService* service) {
  auto impl = std::make_unique<Impl>(io, options, service);
  PARM_RETURN_IF_ERROR(impl->Start());
  return std::unique_ptr<GrpcServer>(new GrpcServer(std::move(impl)));
}

uint16_t GrpcServer::port() const { return impl_->port(); }

const GrpcCounters& GrpcServer::counters() const { return impl_->counters(); }

absl::Status GrpcServer::UseTls(const TlsIdentity& identity) {
  return impl_->UseTls(identity);
}

void GrpcServer::StopAccepting() { impl_->StopAccepting(); }

void GrpcServer::Drain(std::function<void()> done) {
  impl_->Drain(std::move(done));
}

}  // namespace parm
