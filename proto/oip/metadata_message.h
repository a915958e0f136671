#pragma once

// What a server says about a model, as messages of grpc_service.proto.

#include "absl/status/statusor.h"
#include "proto/oip/body.h"
#include "proto/oip/messages.h"
#include "proto/oip/model_statistics.h"

namespace inference {
class ModelConfig;
class ModelMetadataResponse;
class ModelStatistics;
}  // namespace inference

namespace parm::oip {

void WriteModelMetadata(const ModelMetadata& model,
                        inference::ModelMetadataResponse* out);

/// Errors: kDataLoss if it says what no model is, or beyond a limit.
absl::StatusOr<ModelMetadata> ReadModelMetadata(
    const inference::ModelMetadataResponse& from,
    const CodecLimits& limits = {});

/// As WriteModelConfig of metadata_json.h.
void WriteModelConfig(const ModelMetadata& model, inference::ModelConfig* out);

void WriteStatistics(const ModelStatistics& model,
                     inference::ModelStatistics* out);

}  // namespace parm::oip
