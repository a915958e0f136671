#include "proto/oip/infer_request_codec.h"

#include <simdjson.h>

#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/json_writer.h"
#include "base/status_macros.h"
#include "proto/oip/reserved_parameters.h"
#include "proto/oip/tensor_codec.h"

namespace parm::oip {
namespace {

using simdjson::dom::element;

/// The members of a request that are read here.
struct RequestFields {
  std::optional<element> id;
  std::optional<element> parameters;
  std::optional<element> inputs;
  std::optional<element> outputs;

  std::optional<element>* Find(absl::string_view key) {
    if (key == "id") return &id;
    if (key == "parameters") return &parameters;
    if (key == "inputs") return &inputs;
    if (key == "outputs") return &outputs;
    return nullptr;
  }
};

absl::Status ReadOutput(const element& value, const CodecLimits& limits,
                        RequestedOutput* out) {
  simdjson::dom::object object;
  if (value.get(object) != simdjson::SUCCESS) {
    return absl::InvalidArgumentError("a requested output must be an object");
  }
  bool has_name = false;
  bool has_parameters = false;
  for (const simdjson::dom::key_value_pair field : object) {
    const absl::string_view key = ToView(field.key);
    bool* const seen = key == "name"         ? &has_name
                       : key == "parameters" ? &has_parameters
                                             : nullptr;
    if (seen == nullptr) continue;
    if (std::exchange(*seen, true)) {
      return absl::InvalidArgumentError(
          absl::StrCat("a key is given twice: got '", key, "'"));
    }
    PARM_RETURN_IF_ERROR(key == "name"
                             ? ReadName(field.value, key, limits, &out->name)
                             : ReadParameters(field.value, Sender::kClient,
                                              limits, &out->parameters));
  }
  if (out->name.empty()) {
    return absl::InvalidArgumentError(
        "the name of a requested output is missing");
  }
  PARM_RETURN_IF_ERROR(TakeBool("binary_data", &out->parameters, &out->binary));
  return CheckOutputParameters(*out);
}

absl::Status ReadOutputs(const element& value, const CodecLimits& limits,
                         InferRequest* request) {
  simdjson::dom::array array;
  if (value.get(array) != simdjson::SUCCESS) {
    return absl::InvalidArgumentError("outputs must be an array of objects");
  }
  if (array.size() > limits.max_tensors) {
    return absl::InvalidArgumentError(
        absl::StrCat("too many requested outputs: got ", array.size(),
                     ", want at most ", limits.max_tensors));
  }
  request->outputs.reserve(array.size());
  for (const element item : array) {
    RequestedOutput output;
    output.binary = request->binary_outputs;
    PARM_RETURN_IF_ERROR(ReadOutput(item, limits, &output));
    for (const RequestedOutput& other : request->outputs) {
      if (other.name == output.name) {
        return absl::InvalidArgumentError(absl::StrCat(
            "an output is requested twice: got '", output.name, "'"));
      }
    }
    request->outputs.push_back(std::move(output));
  }
  return absl::OkStatus();
}

absl::StatusOr<RequestFields> CollectFields(const simdjson::dom::object& root) {
  RequestFields fields;
  for (const simdjson::dom::key_value_pair field : root) {
    std::optional<element>* const known = fields.Find(ToView(field.key));
    if (known == nullptr) continue;
    if (known->has_value()) {
      return absl::InvalidArgumentError(
          absl::StrCat("a key is given twice: got '", ToView(field.key), "'"));
    }
    *known = field.value;
  }
  if (!fields.inputs.has_value()) {
    return absl::InvalidArgumentError("inputs are missing");
  }
  return fields;
}

void WriteOutput(const RequestedOutput& output, bool default_binary,
                 JsonWriter* writer) {
  writer->BeginObject();
  writer->Key("name").String(output.name);
  if (output.binary != default_binary || !output.parameters.empty()) {
    writer->Key("parameters").BeginObject();
    writer->Key("binary_data").Bool(output.binary);
    WriteParameterFields(output.parameters, writer);
    writer->EndObject();
  }
  writer->EndObject();
}

}  // namespace

absl::StatusOr<InferRequest> InferRequestParser::Parse(const Body& body) {
  const size_t json_bytes = body.json_bytes.value_or(body.size);
  if (json_bytes > body.size) {
    return absl::InvalidArgumentError(
        absl::StrCat("Inference-Header-Content-Length is more than the body: "
                     "got ",
                     json_bytes, ", want at most ", body.size));
  }
  if (json_bytes > limits_.max_json_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("the JSON is too large: got ", json_bytes,
                     " bytes, want at most ", limits_.max_json_bytes));
  }
  simdjson::dom::object root;
  PARM_RETURN_IF_ERROR(parser_.ParseObject(body.storage, json_bytes, &root));
  PARM_ASSIGN_OR_RETURN(const RequestFields fields, CollectFields(root));
  InferRequest request;
  if (fields.id.has_value()) {
    PARM_RETURN_IF_ERROR(ReadName(*fields.id, "id", limits_, &request.id));
  }
  if (fields.parameters.has_value()) {
    PARM_RETURN_IF_ERROR(ReadParameters(*fields.parameters, Sender::kClient,
                                        limits_, &request.parameters));
    PARM_RETURN_IF_ERROR(TakeBool("binary_data_output", &request.parameters,
                                  &request.binary_outputs));
    PARM_RETURN_IF_ERROR(CheckReserved(request.parameters));
  }
  BinaryPart binary{
      .storage = &body.storage, .offset = json_bytes, .end = body.size};
  PARM_RETURN_IF_ERROR(
      ReadTensors(*fields.inputs, {.limits = limits_, .json_bytes = json_bytes},
                  &binary, &request.inputs));
  if (fields.outputs.has_value()) {
    PARM_RETURN_IF_ERROR(ReadOutputs(*fields.outputs, limits_, &request));
  }
  return request;
}

absl::StatusOr<InferRequest> RawInferRequest(const ModelMetadata& model,
                                             const Body& body) {
  if (model.inputs.size() != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("a raw binary request needs a model with one input: got ",
                     model.inputs.size()));
  }
  Tensor input{.spec = model.inputs[0], .data = {}};
  std::vector<int64_t>& shape = input.spec.shape;
  if (input.spec.datatype == DataType::kBytes) {
    for (int64_t& dimension : shape) {
      if (dimension != -1 && dimension != 1) {
        return absl::InvalidArgumentError(
            "a raw binary request holds one BYTES element, the model wants "
            "more");
      }
      dimension = 1;
    }
    const auto length = static_cast<uint32_t>(body.size);
    std::byte* data;
    input.data = Buffer::Allocate(sizeof(length) + body.size, &data);
    std::memcpy(data, &length, sizeof(length));
    if (body.size > 0) {
      std::memcpy(data + sizeof(length), body.storage.bytes().data(),
                  body.size);
    }
  } else {
    // A variable batch is 1 when another dimension must take up the size.
    int64_t* variable = nullptr;
    for (int64_t& dimension : shape) {
      if (dimension != -1) continue;
      if (variable != nullptr && variable != shape.data()) {
        return absl::InvalidArgumentError(
            "a raw binary request needs a shape with one variable dimension: "
            "the model's input has more");
      }
      variable = &dimension;
      dimension = 1;
    }
    PARM_ASSIGN_OR_RETURN(const int64_t unit,
                          NumBytes(input.spec.datatype, shape));
    const auto size = static_cast<int64_t>(body.size);
    if (variable != nullptr && unit > 0 && size % unit == 0) {
      *variable = size / unit;
    }
    PARM_ASSIGN_OR_RETURN(const int64_t want,
                          NumBytes(input.spec.datatype, shape));
    if (want != size || size == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("the size of a raw binary request does not fit the "
                       "model's input: got ",
                       size, ", want a multiple of ", unit));
    }
    input.data = body.storage.Slice(0, body.size);
  }
  InferRequest request;
  request.binary_outputs = true;
  request.inputs.push_back(std::move(input));
  return request;
}

absl::StatusOr<EncodedBody> WriteInferRequest(const InferRequest& request,
                                              bool binary_inputs) {
  EncodedBody out;
  JsonWriter writer(&out.json);
  writer.BeginObject();
  if (!request.id.empty()) writer.Key("id").String(request.id);
  if (request.binary_outputs || !request.parameters.empty()) {
    writer.Key("parameters").BeginObject();
    if (request.binary_outputs) writer.Key("binary_data_output").Bool(true);
    WriteParameterFields(request.parameters, &writer);
    writer.EndObject();
  }
  writer.Key("inputs").BeginArray();
  for (const Tensor& input : request.inputs) {
    PARM_RETURN_IF_ERROR(WriteTensor(input, binary_inputs, &writer, &out));
  }
  writer.EndArray();
  if (!request.outputs.empty()) {
    writer.Key("outputs").BeginArray();
    for (const RequestedOutput& output : request.outputs) {
      WriteOutput(output, request.binary_outputs, &writer);
    }
    writer.EndArray();
  }
  writer.EndObject();
  return out;
}

}  // namespace parm::oip
