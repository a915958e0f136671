#include "experiments/bench/null_grpc_server.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "proto/oip/grpc_bytes.h"
#include "proto/oip/grpc_service.grpc.pb.h"
#include "proto/oip/infer_request_message.h"
#include "proto/oip/infer_response_message.h"
#include "proto/oip/metadata_message.h"

namespace parm {
namespace {

using grpc::CallbackServerContext;
using grpc::ServerUnaryReactor;
using Stubs = inference::GRPCInferenceService;
using Methods = Stubs::WithRawCallbackMethod_ModelInfer<
    Stubs::WithCallbackMethod_ServerLive<Stubs::WithCallbackMethod_ServerReady<
        Stubs::WithCallbackMethod_ServerMetadata<
            Stubs::WithCallbackMethod_ModelReady<
                Stubs::WithCallbackMethod_ModelMetadata<Stubs::Service>>>>>>;

ServerUnaryReactor* Finish(CallbackServerContext* context,
                           const grpc::Status& status = grpc::Status::OK) {
  ServerUnaryReactor* const reactor = context->DefaultReactor();
  reactor->Finish(status);
  return reactor;
}

/// Ends when the client has given up.
class Silence : public ServerUnaryReactor {
 public:
  void OnCancel() override { Finish(grpc::Status::CANCELLED); }
  void OnDone() override { delete this; }
};

}  // namespace

class NullGrpcServer::Impl final : public Methods {
 public:
  explicit Impl(NullServerOptions options) : options_(std::move(options)) {}
  ~Impl() override {
    // The deadline cancels calls that are under way.
    if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now());
  }

  absl::Status Start();
  uint16_t port() const { return port_; }

  using Methods::ModelInfer;
  using Methods::ModelMetadata;
  using Methods::ModelReady;
  using Methods::ServerLive;
  using Methods::ServerMetadata;
  using Methods::ServerReady;

  ServerUnaryReactor* ServerLive(
      CallbackServerContext* context, const inference::ServerLiveRequest*,
      inference::ServerLiveResponse* reply) override {
    reply->set_live(true);
    return Finish(context);
  }
  ServerUnaryReactor* ServerReady(
      CallbackServerContext* context, const inference::ServerReadyRequest*,
      inference::ServerReadyResponse* reply) override {
    reply->set_ready(true);
    return Finish(context);
  }
  ServerUnaryReactor* ServerMetadata(
      CallbackServerContext* context, const inference::ServerMetadataRequest*,
      inference::ServerMetadataResponse* reply) override {
    reply->set_name("null");
    reply->set_version("1");
    return Finish(context);
  }
  ServerUnaryReactor* ModelReady(
      CallbackServerContext* context, const inference::ModelReadyRequest*,
      inference::ModelReadyResponse* reply) override {
    reply->set_ready(true);
    return Finish(context);
  }
  ServerUnaryReactor* ModelMetadata(
      CallbackServerContext* context, const inference::ModelMetadataRequest*,
      inference::ModelMetadataResponse* reply) override {
    oip::WriteModelMetadata(NullModelMetadata(options_), reply);
    return Finish(context);
  }
  ServerUnaryReactor* ModelInfer(CallbackServerContext* context,
                                 const grpc::ByteBuffer* request,
                                 grpc::ByteBuffer* reply) override;

 private:
  absl::StatusOr<NullAnswer> AnswerTo(const grpc::ByteBuffer& request) const;

  const NullServerOptions options_;
  std::vector<grpc::ByteBuffer> replies_;  // by class
  uint16_t port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

absl::Status NullGrpcServer::Impl::Start() {
  for (int best = 0; best < options_.num_classes; ++best) {
    PARM_ASSIGN_OR_RETURN(
        const oip::MessagePieces pieces,
        oip::WriteInferMessage(NullResponse(options_, best), {}, true));
    replies_.push_back(oip::ToByteBuffer(pieces));
  }
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(-1);
  // Else two processes could share a port, each getting half of the clients.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  int port = 0;
  builder.AddListeningPort(absl::StrCat("127.0.0.1:", options_.port),
                           grpc::InsecureServerCredentials(), &port);
  // How long the server's end may wait for threads of its own; else 10 s.
  builder.SetSyncServerOption(
      grpc::ServerBuilder::SyncServerOption::CQ_TIMEOUT_MSEC, 100);
  builder.RegisterService(this);
  server_ = builder.BuildAndStart();
  if (server_ == nullptr || port == 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen for gRPC: port ", options_.port));
  }
  port_ = static_cast<uint16_t>(port);
  return absl::OkStatus();
}

absl::StatusOr<NullAnswer> NullGrpcServer::Impl::AnswerTo(
    const grpc::ByteBuffer& request) const {
  if (options_.answer == nullptr) return NullAnswer{};
  grpc::ByteBuffer bytes = request;  // shared; reading it uses it up
  grpc::ProtoBufferReader reader(&bytes);
  PARM_ASSIGN_OR_RETURN(const oip::InferRequest query,
                        oip::ReadInferMessage(&reader, request.Length()));
  if (query.inputs.size() != 1) {
    return absl::InvalidArgumentError("one input is wanted");
  }
  return options_.answer(query.inputs[0].data.bytes());
}

ServerUnaryReactor* NullGrpcServer::Impl::ModelInfer(
    CallbackServerContext* context, const grpc::ByteBuffer* request,
    grpc::ByteBuffer* reply) {
  const absl::StatusOr<NullAnswer> answer = AnswerTo(*request);
  if (!answer.ok()) {
    return Finish(context, {grpc::StatusCode::INVALID_ARGUMENT,
                            std::string(answer.status().message())});
  }
  if (answer->kind == NullAnswer::Kind::kSilence) return new Silence;
  if (answer->kind == NullAnswer::Kind::kHangUp) {
    return Finish(context, grpc::Status::CANCELLED);
  }
  if (!answer->source.empty()) {
    context->AddTrailingMetadata("x-parm-source", answer->source);
  }
  if (answer->status != 200) {
    return Finish(context,
                  {answer->status == 503 ? grpc::StatusCode::UNAVAILABLE
                                         : grpc::StatusCode::INTERNAL,
                   "as the test asked"});
  }
  *reply = replies_[static_cast<size_t>(answer->predicted_class)];
  return Finish(context);
}

NullGrpcServer::NullGrpcServer(std::unique_ptr<Impl> impl)
    : impl_(std::move(impl)) {}
NullGrpcServer::~NullGrpcServer() = default;

absl::StatusOr<std::unique_ptr<NullGrpcServer>> NullGrpcServer::Create(
    NullServerOptions options) {
  auto impl = std::make_unique<Impl>(std::move(options));
  PARM_RETURN_IF_ERROR(impl->Start());
  return std::unique_ptr<NullGrpcServer>(new NullGrpcServer(std::move(impl)));
}

uint16_t NullGrpcServer::port() const { return impl_->port(); }

}  // namespace parm
