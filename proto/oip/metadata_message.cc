#include "proto/oip/metadata_message.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "proto/oip/grpc_service.pb.h"
#include "proto/oip/message_tensors.h"

namespace parm::oip {
namespace {

inference::DataType ConfigDataType(DataType datatype) {
  // The configuration has its own word for this type alone.
  if (datatype == DataType::kBytes) return inference::TYPE_STRING;
  inference::DataType out = inference::TYPE_INVALID;
  inference::DataType_Parse(absl::StrCat("TYPE_", DataTypeName(datatype)),
                            &out);
  return out;
}

absl::Status ReadModel(const inference::ModelMetadataResponse& from,
                       const CodecLimits& limits, ModelMetadata* out) {
  using Specs = google::protobuf::RepeatedPtrField<
      inference::ModelMetadataResponse::TensorMetadata>;
  PARM_RETURN_IF_ERROR(CheckName("name", from.name(), limits));
  PARM_RETURN_IF_ERROR(CheckName("platform", from.platform(), limits));
  out->name = from.name();
  out->platform = from.platform();
  for (const std::string& version : from.versions()) {
    PARM_RETURN_IF_ERROR(CheckName("version", version, limits));
    out->versions.push_back(version);
  }
  const std::pair<const Specs*, std::vector<TensorSpec>*> specs[] = {
      {&from.inputs(), &out->inputs}, {&from.outputs(), &out->outputs}};
  for (const auto& [messages, values] : specs) {
    if (static_cast<size_t>(messages->size()) > limits.max_tensors) {
      return absl::InvalidArgumentError(
          absl::StrCat("too many tensors: got ", messages->size(),
                       ", want at most ", limits.max_tensors));
    }
    for (const auto& message : *messages) {
      PARM_RETURN_IF_ERROR(ReadSpec(message, limits, &values->emplace_back()));
    }
  }
  return absl::OkStatus();
}

template <typename ConfigTensor>
void WriteConfigTensor(const TensorSpec& spec, bool batched,
                       ConfigTensor* out) {
  out->set_name(spec.name);
  out->set_data_type(ConfigDataType(spec.datatype));
  for (size_t i = batched ? 1 : 0; i < spec.shape.size(); ++i) {
    out->add_dims(spec.shape[i]);
  }
}

void WriteTotal(const DurationTotal& total, inference::StatisticDuration* out) {
  out->set_count(total.count);
  out->set_ns(total.ns);
}

}  // namespace

void WriteModelMetadata(const ModelMetadata& model,
                        inference::ModelMetadataResponse* out) {
  out->set_name(model.name);
  out->mutable_versions()->Add(model.versions.begin(), model.versions.end());
  out->set_platform(model.platform);
  for (const TensorSpec& spec : model.inputs)
    WriteSpec(spec, out->add_inputs());
  for (const TensorSpec& spec : model.outputs) {
    WriteSpec(spec, out->add_outputs());
  }
}

absl::StatusOr<ModelMetadata> ReadModelMetadata(
    const inference::ModelMetadataResponse& from, const CodecLimits& limits) {
  ModelMetadata model;
  const absl::Status status = ReadModel(from, limits, &model);
  if (status.ok()) return model;
  return absl::DataLossError(
      absl::StrCat("model metadata is malformed: ", status.message()));
}

void WriteModelConfig(const ModelMetadata& model, inference::ModelConfig* out) {
  out->set_name(model.name);
  out->set_platform(model.platform);
  out->set_max_batch_size(static_cast<int32_t>(model.max_batch_size));
  const bool batched = model.max_batch_size > 0;
  for (const TensorSpec& spec : model.inputs) {
    WriteConfigTensor(spec, batched, out->add_input());
  }
  for (const TensorSpec& spec : model.outputs) {
    WriteConfigTensor(spec, batched, out->add_output());
  }
  out->mutable_model_transaction_policy()->set_decoupled(false);
}

void WriteStatistics(const ModelStatistics& model,
                     inference::ModelStatistics* out) {
  out->set_name(model.name);
  out->set_version(model.version);
  out->set_last_inference(model.last_inference_ms);
  out->set_inference_count(model.inferences);
  out->set_execution_count(model.executions);
  inference::InferStatistics& stats = *out->mutable_inference_stats();
  WriteTotal(model.success, stats.mutable_success());
  WriteTotal(model.fail, stats.mutable_fail());
  WriteTotal(model.queue, stats.mutable_queue());
  WriteTotal(model.compute_input, stats.mutable_compute_input());
  WriteTotal(model.compute_infer, stats.mutable_compute_infer());
  WriteTotal(model.compute_output, stats.mutable_compute_output());
  // Nothing is cached.
  WriteTotal({}, stats.mutable_cache_hit());
  WriteTotal({}, stats.mutable_cache_miss());
}

}  // namespace parm::oip
