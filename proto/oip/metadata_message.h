#pragma once

// What a server says about a model, as messages of grpc_service.proto.

#include "proto/oip/messages.h"

namespace inference {
class ModelConfig;
class ModelMetadataResponse;
}  // namespace inference

namespace parm::oip {

void WriteModelMetadata(const ModelMetadata& model,
                        inference::ModelMetadataResponse* out);

/// As WriteModelConfig of metadata_json.h.
void WriteModelConfig(const ModelMetadata& model, inference::ModelConfig* out);

}  // namespace parm::oip
