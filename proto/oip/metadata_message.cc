#include "proto/oip/metadata_message.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "proto/oip/grpc_service.pb.h"

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

void WriteSpec(const TensorSpec& spec,
               inference::ModelMetadataResponse::TensorMetadata* out) {
  out->set_name(spec.name);
  const absl::string_view datatype = DataTypeName(spec.datatype);
  out->set_datatype(datatype.data(), datatype.size());
  out->mutable_shape()->Add(spec.shape.begin(), spec.shape.end());
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

}  // namespace parm::oip
