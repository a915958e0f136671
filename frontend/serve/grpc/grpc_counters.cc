#include "frontend/serve/grpc/grpc_counters.h"

namespace parm {

const char* GrpcMethodName(GrpcMethod method) {
  switch (method) {
    case GrpcMethod::kServerLive:
      return "ServerLive";
    case GrpcMethod::kServerReady:
      return "ServerReady";
    case GrpcMethod::kModelReady:
      return "ModelReady";
    case GrpcMethod::kServerMetadata:
      return "ServerMetadata";
    case GrpcMethod::kModelMetadata:
      return "ModelMetadata";
    case GrpcMethod::kModelConfig:
      return "ModelConfig";
    case GrpcMethod::kModelStatistics:
      return "ModelStatistics";
    case GrpcMethod::kRepositoryIndex:
      return "RepositoryIndex";
    case GrpcMethod::kModelInfer:
      return "ModelInfer";
    case GrpcMethod::kModelStreamInfer:
      return "ModelStreamInfer";
    case GrpcMethod::kOther:
      break;
  }
  return "other";
}

const char* GrpcCodeName(size_t code) {
  constexpr std::array<const char*, kNumGrpcCodes> kNames = {
      "OK",
      "CANCELLED",
      "UNKNOWN",
      "INVALID_ARGUMENT",
      "DEADLINE_EXCEEDED",
      "NOT_FOUND",
      "ALREADY_EXISTS",
      "PERMISSION_DENIED",
      "RESOURCE_EXHAUSTED",
      "FAILED_PRECONDITION",
      "ABORTED",
      "OUT_OF_RANGE",
      "UNIMPLEMENTED",
      "INTERNAL",
      "UNAVAILABLE",
      "DATA_LOSS",
      "UNAUTHENTICATED"};
  return code < kNames.size() ? kNames[code] : "UNKNOWN";
}

}  // namespace parm
