#pragma once

// The methods of GRPCInferenceService as gRPC calls them: what asks about
// server and models is answered here, inference by infer_call.h and
// infer_stream.h.

#include <memory>

namespace grpc {
class CallbackGenericService;
class Service;
}  // namespace grpc

namespace parm {

struct CallContext;

/// Full name of the service, for grpc.health.v1.
inline constexpr char kInferenceServiceName[] =
    "inference.GRPCInferenceService";

/// `context` outlives the service.
std::unique_ptr<grpc::Service> MakeInferenceService(CallContext* context);

/// Answers every other method UNIMPLEMENTED, with a sentence.
std::unique_ptr<grpc::CallbackGenericService> MakeOtherMethods(
    CallContext* context);

}  // namespace parm
