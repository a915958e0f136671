#include "tests/frontend/upstream/oip/fake_grpc_server.h"

#include <chrono>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "base/status_macros.h"
#include "proto/oip/grpc_service.grpc.pb.h"

namespace parm {
namespace {

using grpc::CallbackServerContext;
using grpc::ServerUnaryReactor;
using Stubs = inference::GRPCInferenceService;
using Methods = Stubs::WithRawCallbackMethod_ModelInfer<
    Stubs::WithCallbackMethod_ServerReady<
        Stubs::WithCallbackMethod_ServerMetadata<
            Stubs::WithCallbackMethod_ModelReady<
                Stubs::WithCallbackMethod_ModelMetadata<Stubs::Service>>>>>;

std::string BytesOf(const grpc::ByteBuffer& buffer) {
  // None came of a call that was given up before.
  std::vector<grpc::Slice> slices;
  if (!buffer.Dump(&slices).ok()) return "";
  std::string bytes;
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return bytes;
}

}  // namespace

class FakeGrpcServer::Service final : public Methods {
 public:
  Service() {
    inference::ModelMetadataResponse& m = says_.metadata;
    m.set_name("m");
    m.add_versions("1");
    m.set_platform("p");
    auto* const x = m.add_inputs();
    x->set_name("x");
    auto* const y = m.add_outputs();
    y->set_name("y");
    for (auto* const tensor : {x, y}) {
      tensor->set_datatype("FP32");
      tensor->add_shape(-1);
      tensor->add_shape(2);
    }
  }

  void Tell(const std::function<void(Says*)>& change) {
    MutexLock lock(&mu_);
    change(&says_);
  }

  Saw saw() {
    MutexLock lock(&mu_);
    return saw_;
  }

  using Methods::ServerReady;
  ServerUnaryReactor* ServerReady(
      CallbackServerContext* context, const inference::ServerReadyRequest*,
      inference::ServerReadyResponse* response) override {
    MutexLock lock(&mu_);
    ++saw_.health;
    response->set_ready(says_.ready);
    if (!says_.answers_health) return new Silence(this, /*counted=*/false);
    return Done(context);
  }

  using Methods::ServerMetadata;
  ServerUnaryReactor* ServerMetadata(
      CallbackServerContext* context, const inference::ServerMetadataRequest*,
      inference::ServerMetadataResponse* response) override {
    MutexLock lock(&mu_);
    response->set_name(says_.name);
    return Done(context);
  }

  using Methods::ModelReady;
  ServerUnaryReactor* ModelReady(
      CallbackServerContext* context,
      const inference::ModelReadyRequest* request,
      inference::ModelReadyResponse* response) override {
    MutexLock lock(&mu_);
    response->set_ready(says_.model_ready && request->name() == "m");
    return Done(context);
  }

  using Methods::ModelMetadata;
  ServerUnaryReactor* ModelMetadata(
      CallbackServerContext* context, const inference::ModelMetadataRequest*,
      inference::ModelMetadataResponse* response) override {
    MutexLock lock(&mu_);
    *response = says_.metadata;
    return Done(context);
  }

  using Methods::ModelInfer;
  ServerUnaryReactor* ModelInfer(CallbackServerContext* context,
                                 const grpc::ByteBuffer* request,
                                 grpc::ByteBuffer* response) override {
    MutexLock lock(&mu_);
    ++saw_.infer;
    PARM_CHECK(saw_.request.ParseFromString(BytesOf(*request)));
    saw_.metadata.clear();
    for (const auto& [name, value] : context->client_metadata()) {
      saw_.metadata[{name.data(), name.size()}] = {value.data(), value.size()};
    }
    if (says_.on_infer == nullptr) return new Silence(this, /*counted=*/true);
    const Answer answer = says_.on_infer(saw_.request);
    if (answer.never) return new Silence(this, /*counted=*/true);
    const grpc::Slice slice(answer.bytes);
    *response = grpc::ByteBuffer(&slice, 1);
    ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish(answer.status);
    return reactor;
  }

 private:
  /// Ends when the client gives up, or the server.
  class Silence final : public ServerUnaryReactor {
   public:
    Silence(Service* service, bool counted)
        : service_(service), counted_(counted) {}
    void OnCancel() override {
      if (counted_) {
        MutexLock lock(&service_->mu_);
        ++service_->saw_.cancelled;
      }
      Finish(grpc::Status(grpc::StatusCode::CANCELLED, "never"));
    }
    void OnDone() override { delete this; }

   private:
    Service* const service_;
    const bool counted_;
  };

  static ServerUnaryReactor* Done(CallbackServerContext* context) {
    ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  Mutex mu_;  // Guards what follows.
  Says says_ ABSL_GUARDED_BY(mu_);
  Saw saw_ ABSL_GUARDED_BY(mu_);
};

FakeGrpcServer::FakeGrpcServer(uint16_t port)
    : service_(std::make_unique<Service>()) {
  grpc::ServerBuilder builder;
  int picked = 0;
  builder.AddListeningPort(absl::StrCat("127.0.0.1:", port),
                           grpc::InsecureServerCredentials(), &picked);
  builder.SetMaxReceiveMessageSize(-1);
  // How long the server's end may wait for threads of its own; else 10 s.
  builder.SetSyncServerOption(
      grpc::ServerBuilder::SyncServerOption::CQ_TIMEOUT_MSEC, 100);
  builder.RegisterService(service_.get());
  server_ = builder.BuildAndStart();
  PARM_CHECK(server_ != nullptr && picked != 0);
  port_ = static_cast<uint16_t>(picked);
}

FakeGrpcServer::~FakeGrpcServer() {
  server_->Shutdown(std::chrono::system_clock::now());
}

std::string FakeGrpcServer::url() const {
  return absl::StrCat("grpc://127.0.0.1:", port_);
}

void FakeGrpcServer::Tell(const std::function<void(Says*)>& change) {
  service_->Tell(change);
}

FakeGrpcServer::Saw FakeGrpcServer::saw() const { return service_->saw(); }

inference::ModelInferResponse RawAnswer(const std::string& values,
                                        const std::string& version) {
  inference::ModelInferResponse message;
  message.set_model_name("m");
  message.set_model_version(version);
  auto* const output = message.add_outputs();
  output->set_name("y");
  output->set_datatype("FP32");
  output->add_shape(1);
  output->add_shape(static_cast<int64_t>(values.size() / sizeof(float)));
  message.add_raw_output_contents(values);
  return message;
}

}  // namespace parm
