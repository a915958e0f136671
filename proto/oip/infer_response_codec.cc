#include "proto/oip/infer_response_codec.h"

#include <simdjson.h>

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/json_writer.h"
#include "base/status_macros.h"
#include "proto/oip/tensor_codec.h"

namespace parm::oip {
namespace {

using simdjson::dom::element;

/// Text that holds the JSON of a reply with a few small outputs.
constexpr size_t kUsualJsonBytes = 384;

/// The members of a reply that are read here.
struct ResponseFields {
  std::optional<element> model_name;
  std::optional<element> model_version;
  std::optional<element> id;
  std::optional<element> parameters;
  std::optional<element> outputs;

  std::optional<element>* Find(absl::string_view key) {
    if (key == "model_name") return &model_name;
    if (key == "model_version") return &model_version;
    if (key == "id") return &id;
    if (key == "parameters") return &parameters;
    if (key == "outputs") return &outputs;
    return nullptr;
  }
};

void WriteHead(const InferResponse& response, const AnswerLabel& label,
               JsonWriter* writer) {
  writer->Key("model_name").String(response.model_name);
  if (!response.model_version.empty()) {
    writer->Key("model_version").String(response.model_version);
  }
  if (!response.id.empty()) writer->Key("id").String(response.id);
  if (label.source.empty()) {
    WriteParameters(response.parameters, writer);
    return;
  }
  writer->Key("parameters").BeginObject();
  WriteParameterFields(response.parameters, writer);
  writer->Key("parm_source").String(label.source);
  if (label.confidence.has_value()) {
    writer->Key("parm_confidence").Float(*label.confidence);
  }
  writer->EndObject();
}

absl::Status WriteRequested(const InferResponse& response,
                            absl::Span<const RequestedOutput> requested,
                            JsonWriter* writer, EncodedBody* out) {
  for (const RequestedOutput& wanted : requested) {
    const auto found = std::find_if(
        response.outputs.begin(), response.outputs.end(),
        [&](const Tensor& output) { return output.spec.name == wanted.name; });
    if (found == response.outputs.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("the model has no such output: got '", wanted.name,
                       "' for model '", response.model_name, "'"));
    }
    PARM_RETURN_IF_ERROR(WriteTensor(*found, wanted.binary, writer, out));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<EncodedBody> WriteInferResponse(
    const InferResponse& response, absl::Span<const RequestedOutput> requested,
    bool binary_outputs, const AnswerLabel& label) {
  EncodedBody out;
  out.json.reserve(kUsualJsonBytes);
  JsonWriter writer(&out.json);
  writer.BeginObject();
  WriteHead(response, label, &writer);
  writer.Key("outputs").BeginArray();
  if (requested.empty()) {
    for (const Tensor& output : response.outputs) {
      PARM_RETURN_IF_ERROR(WriteTensor(output, binary_outputs, &writer, &out));
    }
  } else {
    PARM_RETURN_IF_ERROR(WriteRequested(response, requested, &writer, &out));
  }
  writer.EndArray();
  writer.EndObject();
  return out;
}

absl::StatusOr<InferResponse> InferResponseParser::Parse(const Body& body) {
  absl::StatusOr<InferResponse> response = ParseChecked(body);
  if (response.ok()) return response;
  // Whose fault it is differs from a request: the peer's, not a client's.
  return absl::DataLossError(
      absl::StrCat("a reply is malformed: ", response.status().message()));
}

absl::StatusOr<InferResponse> InferResponseParser::ParseChecked(
    const Body& body) {
  const size_t json_bytes = body.json_bytes.value_or(body.size);
  if (json_bytes > body.size || json_bytes > limits_.max_json_bytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the JSON part is too large: got ", json_bytes, ", want at most ",
        std::min(body.size, limits_.max_json_bytes)));
  }
  simdjson::dom::object root;
  PARM_RETURN_IF_ERROR(parser_.ParseObject(body.storage, json_bytes, &root));
  ResponseFields fields;
  for (const simdjson::dom::key_value_pair field : root) {
    std::optional<element>* const known = fields.Find(ToView(field.key));
    if (known == nullptr) continue;
    if (known->has_value()) {
      return absl::InvalidArgumentError(
          absl::StrCat("a key is given twice: got '", ToView(field.key), "'"));
    }
    *known = field.value;
  }
  InferResponse response;
  const std::pair<const std::optional<element>*, std::string*> names[] = {
      {&fields.model_name, &response.model_name},
      {&fields.model_version, &response.model_version},
      {&fields.id, &response.id}};
  for (const auto& [field, text] : names) {
    // Some servers send null for what they do not have.
    if (!field->has_value() || (*field)->is_null()) continue;
    PARM_RETURN_IF_ERROR(
        ReadName(**field, "model_name, model_version or id", limits_, text));
  }
  if (fields.parameters.has_value()) {
    PARM_RETURN_IF_ERROR(ReadParameters(*fields.parameters, Sender::kServer,
                                        limits_, &response.parameters));
  }
  if (!fields.outputs.has_value()) {
    return absl::InvalidArgumentError("outputs are missing");
  }
  BinaryPart binary{
      .storage = &body.storage, .offset = json_bytes, .end = body.size};
  PARM_RETURN_IF_ERROR(ReadTensors(
      *fields.outputs,
      {.limits = limits_, .json_bytes = json_bytes, .sender = Sender::kServer},
      &binary, &response.outputs));
  return response;
}

}  // namespace parm::oip
