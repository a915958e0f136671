#include "frontend/serve/grpc/inference_service.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "frontend/serve/grpc/call_context.h"
#include "frontend/serve/grpc/grpc_message.h"
#include "frontend/serve/grpc/infer_call.h"
#include "frontend/serve/grpc/infer_stream.h"
#include "proto/oip/grpc_service.grpc.pb.h"
#include "proto/oip/metadata_message.h"

namespace parm {
namespace {

using grpc::CallbackServerContext;
using grpc::ServerUnaryReactor;
using Stubs = inference::GRPCInferenceService;
// Inference gets bytes, so that tensors are copied once; the rest is parsed.
template <typename Base>
using WithInference = Stubs::WithRawCallbackMethod_ModelInfer<
    Stubs::WithRawCallbackMethod_ModelStreamInfer<Base>>;
template <typename Base>
using WithServerMethods =
    Stubs::WithCallbackMethod_ServerLive<Stubs::WithCallbackMethod_ServerReady<
        Stubs::WithCallbackMethod_ServerMetadata<
            Stubs::WithCallbackMethod_RepositoryIndex<Base>>>>;
template <typename Base>
using WithModelMethods = Stubs::WithCallbackMethod_ModelReady<
    Stubs::WithCallbackMethod_ModelMetadata<
        Stubs::WithCallbackMethod_ModelConfig<
            Stubs::WithCallbackMethod_ModelStatistics<Base>>>>;
using Methods =
    WithInference<WithServerMethods<WithModelMethods<Stubs::Service>>>;

constexpr const char* kExtensions[] = {"binary_tensor_data", "parameters",
                                       "model_configuration", "statistics"};

class InferenceService final : public Methods {
 public:
  explicit InferenceService(CallContext* context) : shared_(context) {}

  using Methods::ModelInfer;
  ServerUnaryReactor* ModelInfer(CallbackServerContext* context,
                                 const grpc::ByteBuffer* request,
                                 grpc::ByteBuffer* response) override {
    return InferCall::Start(shared_, context, request, response);
  }

  using Methods::ModelStreamInfer;
  InferStream::Reactor* ModelStreamInfer(
      CallbackServerContext* context) override {
    return InferStream::Start(shared_, context);
  }

  using Methods::ServerLive;
  ServerUnaryReactor* ServerLive(
      CallbackServerContext* context,
      const inference::ServerLiveRequest* /*request*/,
      inference::ServerLiveResponse* response) override {
    response->set_live(true);
    return AnswerNow(context, GrpcMethod::kServerLive);
  }

  using Methods::ServerReady;
  ServerUnaryReactor* ServerReady(
      CallbackServerContext* context,
      const inference::ServerReadyRequest* /*request*/,
      inference::ServerReadyResponse* response) override {
    return AnswerOnLoop(context, GrpcMethod::kServerReady, [this, response] {
      response->set_ready(shared_->service->Ready());
      return absl::OkStatus();
    });
  }

  using Methods::ModelReady;
  ServerUnaryReactor* ModelReady(
      CallbackServerContext* context,
      const inference::ModelReadyRequest* request,
      inference::ModelReadyResponse* response) override {
    return AnswerOnLoop(context, GrpcMethod::kModelReady,
                        [this, request, response]() -> absl::Status {
                          PARM_ASSIGN_OR_RETURN(
                              const bool ready,
                              shared_->service->ModelReady(request->name(),
                                                           request->version()));
                          response->set_ready(ready);
                          return absl::OkStatus();
                        });
  }

  using Methods::ServerMetadata;
  ServerUnaryReactor* ServerMetadata(
      CallbackServerContext* context,
      const inference::ServerMetadataRequest* /*request*/,
      inference::ServerMetadataResponse* response) override {
    response->set_name(shared_->options.server_name);
    response->set_version(shared_->options.server_version);
    for (const char* extension : kExtensions) {
      response->add_extensions(extension);
    }
    return AnswerNow(context, GrpcMethod::kServerMetadata);
  }

  using Methods::ModelMetadata;
  ServerUnaryReactor* ModelMetadata(
      CallbackServerContext* context,
      const inference::ModelMetadataRequest* request,
      inference::ModelMetadataResponse* response) override {
    return AnswerOnLoop(
        context, GrpcMethod::kModelMetadata,
        [this, request, response]() -> absl::Status {
          PARM_ASSIGN_OR_RETURN(
              const oip::ModelMetadata model,
              shared_->service->Metadata(request->name(), request->version()));
          oip::WriteModelMetadata(model, response);
          return absl::OkStatus();
        });
  }

  using Methods::ModelConfig;
  ServerUnaryReactor* ModelConfig(
      CallbackServerContext* context,
      const inference::ModelConfigRequest* request,
      inference::ModelConfigResponse* response) override {
    return AnswerOnLoop(
        context, GrpcMethod::kModelConfig,
        [this, request, response]() -> absl::Status {
          PARM_ASSIGN_OR_RETURN(
              const oip::ModelMetadata model,
              shared_->service->Metadata(request->name(), request->version()));
          oip::WriteModelConfig(model, response->mutable_config());
          return absl::OkStatus();
        });
  }

  using Methods::ModelStatistics;
  ServerUnaryReactor* ModelStatistics(
      CallbackServerContext* context,
      const inference::ModelStatisticsRequest* request,
      inference::ModelStatisticsResponse* response) override {
    return AnswerOnLoop(
        context, GrpcMethod::kModelStatistics,
        [this, request, response]() -> absl::Status {
          PARM_ASSIGN_OR_RETURN(const auto models,
                                shared_->service->Statistics(
                                    request->name(), request->version()));
          for (const oip::ModelStatistics& model : models) {
            oip::WriteStatistics(model, response->add_model_stats());
          }
          return absl::OkStatus();
        });
  }

  using Methods::RepositoryIndex;
  ServerUnaryReactor* RepositoryIndex(
      CallbackServerContext* context,
      const inference::RepositoryIndexRequest* request,
      inference::RepositoryIndexResponse* response) override {
    return AnswerOnLoop(context, GrpcMethod::kRepositoryIndex,
                        [this, request, response] {
                          ListModels(request->ready(), response);
                          return absl::OkStatus();
                        });
  }

 private:
  void End(ServerUnaryReactor* reactor, GrpcMethod method,
           const absl::Status& status) {
    const grpc::Status out = ToGrpcStatus(status);
    shared_->counters.CountEnd(method, out.error_code());
    reactor->Finish(out);
  }

  ServerUnaryReactor* AnswerNow(CallbackServerContext* context,
                                GrpcMethod method) {
    ServerUnaryReactor* const reactor = context->DefaultReactor();
    End(reactor, method, absl::OkStatus());
    return reactor;
  }

  /// `fill` writes the response, and says how that went. Request and response
  /// live until the reactor has finished, also when the client has gone.
  template <typename Fill>
  ServerUnaryReactor* AnswerOnLoop(CallbackServerContext* context,
                                   GrpcMethod method, Fill fill) {
    ServerUnaryReactor* const reactor = context->DefaultReactor();
    if (!shared_->queue.TryPush(0, [this, reactor, method, fill] {
          End(reactor, method, fill());
        })) {
      ++shared_->counters.shed_calls;
      End(reactor, method, Overloaded());
    }
    return reactor;
  }

  void ListModels(bool only_ready,
                  inference::RepositoryIndexResponse* response) const {
    const QueryService& service = *shared_->service;
    for (const std::string& name : service.ModelNames()) {
      const absl::StatusOr<bool> live = service.ModelReady(name, "");
      const bool ready = live.ok() && *live;
      if (only_ready && !ready) continue;
      auto* const entry = response->add_models();
      entry->set_name(name);
      entry->set_state(ready ? "READY" : "UNAVAILABLE");
      if (!ready) entry->set_reason("no live worker");
      const absl::StatusOr<oip::ModelMetadata> model =
          service.Metadata(name, "");
      if (model.ok() && !model->versions.empty()) {
        entry->set_version(model->versions.back());
      }
    }
  }

  CallContext* const shared_;
};

/// Ends as soon as it has begun.
class RefusedCall final : public grpc::ServerGenericBidiReactor {
 public:
  explicit RefusedCall(const grpc::Status& status) { Finish(status); }
  void OnDone() override { delete this; }
};

class OtherMethods final : public grpc::CallbackGenericService {
 public:
  explicit OtherMethods(CallContext* context) : shared_(context) {}

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    const std::string& method = context->method();
    std::string why = absl::StrCat("parm-frontend does not serve ", method);
    if (absl::StrContains(method, "SharedMemory")) {
      absl::StrAppend(&why, ": shared memory is not supported");
    } else if (absl::StrContains(method, "RepositoryModel")) {
      absl::StrAppend(&why, ": its workers say which models there are");
    }
    shared_->counters.CountEnd(GrpcMethod::kOther,
                               grpc::StatusCode::UNIMPLEMENTED);
    return new RefusedCall({grpc::StatusCode::UNIMPLEMENTED, why});
  }

 private:
  CallContext* const shared_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeInferenceService(CallContext* context) {
  return std::make_unique<InferenceService>(context);
}

std::unique_ptr<grpc::CallbackGenericService> MakeOtherMethods(
    CallContext* context) {
  return std::make_unique<OtherMethods>(context);
}

}  // namespace parm
