#include "frontend/serve/http_counters.h"

namespace parm {

const char* EndpointName(Endpoint endpoint) {
  switch (endpoint) {
    case Endpoint::kLive:
      return "live";
    case Endpoint::kReady:
      return "ready";
    case Endpoint::kServerMetadata:
      return "server_metadata";
    case Endpoint::kModelNames:
      return "model_names";
    case Endpoint::kModelMetadata:
      return "model_metadata";
    case Endpoint::kModelReady:
      return "model_ready";
    case Endpoint::kModelConfig:
      return "model_config";
    case Endpoint::kInfer:
      return "infer";
    case Endpoint::kRepositoryIndex:
      return "repository_index";
    case Endpoint::kMetrics:
      return "metrics";
    case Endpoint::kOther:
      break;
  }
  return "other";
}

}  // namespace parm
