#include "proto/oip/metadata_json.h"

#include <simdjson.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/json_writer.h"
#include "base/status_macros.h"
#include "proto/oip/json_parser.h"

namespace parm::oip {
namespace {

using simdjson::dom::element;

constexpr size_t kMaxErrorBytes = 1000;

void WriteSpecs(absl::string_view key, absl::Span<const TensorSpec> specs,
                JsonWriter* writer) {
  writer->Key(key).BeginArray();
  for (const TensorSpec& spec : specs) {
    writer->BeginObject();
    writer->Key("name").String(spec.name);
    writer->Key("datatype").String(DataTypeName(spec.datatype));
    writer->Key("shape").BeginArray();
    for (const int64_t dimension : spec.shape) writer->Int(dimension);
    writer->EndArray().EndObject();
  }
  writer->EndArray();
}

void WriteConfigTensors(absl::string_view key,
                        absl::Span<const TensorSpec> specs, bool batched,
                        JsonWriter* writer) {
  writer->Key(key).BeginArray();
  for (const TensorSpec& spec : specs) {
    writer->BeginObject();
    writer->Key("name").String(spec.name);
    // The configuration has its own word for this type alone.
    writer->Key("data_type")
        .String(spec.datatype == DataType::kBytes
                    ? std::string("TYPE_STRING")
                    : absl::StrCat("TYPE_", DataTypeName(spec.datatype)));
    writer->Key("dims").BeginArray();
    for (size_t i = batched ? 1 : 0; i < spec.shape.size(); ++i) {
      writer->Int(spec.shape[i]);
    }
    writer->EndArray().EndObject();
  }
  writer->EndArray();
}

void WriteTotal(absl::string_view key, const DurationTotal& total,
                JsonWriter* writer) {
  writer->Key(key).BeginObject();
  writer->Key("count").Uint(total.count);
  writer->Key("ns").Uint(total.ns);
  writer->EndObject();
}

absl::Status ReadStrings(const element& value, absl::string_view what,
                         const CodecLimits& limits,
                         std::vector<std::string>* out) {
  simdjson::dom::array array;
  if (value.get(array) != simdjson::SUCCESS ||
      array.size() > limits.max_parameters) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, " must be a short array"));
  }
  for (const element item : array) {
    out->emplace_back();
    PARM_RETURN_IF_ERROR(ReadName(item, what, limits, &out->back()));
  }
  return absl::OkStatus();
}

absl::Status ReadSpec(const element& value, const CodecLimits& limits,
                      TensorSpec* out) {
  std::string datatype;
  element field;
  if (value["name"].get(field) == simdjson::SUCCESS) {
    PARM_RETURN_IF_ERROR(ReadName(field, "name", limits, &out->name));
  }
  if (value["datatype"].get(field) == simdjson::SUCCESS) {
    PARM_RETURN_IF_ERROR(ReadName(field, "datatype", limits, &datatype));
  }
  out->datatype = ParseDataType(datatype);
  if (out->name.empty() || out->datatype == DataType::kInvalid) {
    return absl::InvalidArgumentError("a tensor needs a name and a datatype");
  }
  simdjson::dom::array shape;
  if (value["shape"].get(shape) != simdjson::SUCCESS ||
      shape.size() > limits.max_rank) {
    return absl::InvalidArgumentError("a tensor needs a shape");
  }
  for (const element dimension : shape) {
    int64_t size;
    if (dimension.get(size) != simdjson::SUCCESS || size < -1) {
      return absl::InvalidArgumentError(
          "a dimension must be -1 or not negative");
    }
    out->shape.push_back(size);
  }
  return absl::OkStatus();
}

absl::Status ReadSpecs(const element& value, const CodecLimits& limits,
                       std::vector<TensorSpec>* out) {
  simdjson::dom::array array;
  if (value.get(array) != simdjson::SUCCESS ||
      array.size() > limits.max_tensors) {
    return absl::InvalidArgumentError("tensors must be a short array");
  }
  for (const element item : array) {
    out->emplace_back();
    PARM_RETURN_IF_ERROR(ReadSpec(item, limits, &out->back()));
  }
  return absl::OkStatus();
}

absl::Status ReadModel(const simdjson::dom::object& root,
                       const CodecLimits& limits, ModelMetadata* out) {
  element field;
  if (root["name"].get(field) != simdjson::SUCCESS) {
    return absl::InvalidArgumentError("the name is missing");
  }
  PARM_RETURN_IF_ERROR(ReadName(field, "name", limits, &out->name));
  if (root["versions"].get(field) == simdjson::SUCCESS && !field.is_null()) {
    PARM_RETURN_IF_ERROR(
        ReadStrings(field, "versions", limits, &out->versions));
  }
  if (root["platform"].get(field) == simdjson::SUCCESS && !field.is_null()) {
    PARM_RETURN_IF_ERROR(ReadName(field, "platform", limits, &out->platform));
  }
  if (root["inputs"].get(field) == simdjson::SUCCESS) {
    PARM_RETURN_IF_ERROR(ReadSpecs(field, limits, &out->inputs));
  }
  if (root["outputs"].get(field) == simdjson::SUCCESS) {
    PARM_RETURN_IF_ERROR(ReadSpecs(field, limits, &out->outputs));
  }
  return absl::OkStatus();
}

absl::Status ReadServer(const simdjson::dom::object& root,
                        const CodecLimits& limits, ServerMetadata* out) {
  element field;
  if (root["name"].get(field) == simdjson::SUCCESS && !field.is_null()) {
    PARM_RETURN_IF_ERROR(ReadName(field, "name", limits, &out->name));
  }
  if (root["version"].get(field) == simdjson::SUCCESS && !field.is_null()) {
    PARM_RETURN_IF_ERROR(ReadName(field, "version", limits, &out->version));
  }
  if (root["extensions"].get(field) == simdjson::SUCCESS && !field.is_null()) {
    PARM_RETURN_IF_ERROR(
        ReadStrings(field, "extensions", limits, &out->extensions));
  }
  return absl::OkStatus();
}

/// `read` fills a document's meaning from its root.
template <typename Document>
absl::StatusOr<Document> ParseDocument(
    absl::string_view malformed, const Body& body, const CodecLimits& limits,
    absl::Status (*read)(const simdjson::dom::object&, const CodecLimits&,
                         Document*)) {
  JsonParser parser;
  simdjson::dom::object root;
  Document document;
  absl::Status status =
      body.size > limits.max_json_bytes
          ? absl::InvalidArgumentError("the document is too large")
          : parser.ParseObject(body.storage, body.size, &root);
  if (status.ok()) status = read(root, limits, &document);
  if (status.ok()) return document;
  return absl::DataLossError(absl::StrCat(malformed, status.message()));
}

}  // namespace

std::string WriteServerMetadata(
    absl::string_view name, absl::string_view version,
    absl::Span<const absl::string_view> extensions) {
  std::string json;
  JsonWriter writer(&json);
  writer.BeginObject();
  writer.Key("name").String(name);
  writer.Key("version").String(version);
  writer.Key("extensions").BeginArray();
  for (const absl::string_view extension : extensions) {
    writer.String(extension);
  }
  writer.EndArray().EndObject();
  return json;
}

std::string WriteModelMetadata(const ModelMetadata& model) {
  std::string json;
  JsonWriter writer(&json);
  writer.BeginObject();
  writer.Key("name").String(model.name);
  writer.Key("versions").BeginArray();
  for (const std::string& version : model.versions) writer.String(version);
  writer.EndArray();
  writer.Key("platform").String(model.platform);
  WriteSpecs("inputs", model.inputs, &writer);
  WriteSpecs("outputs", model.outputs, &writer);
  writer.EndObject();
  return json;
}

std::string WriteModelConfig(const ModelMetadata& model) {
  std::string json;
  JsonWriter writer(&json);
  writer.BeginObject();
  writer.Key("name").String(model.name);
  writer.Key("platform").String(model.platform);
  writer.Key("backend").String("");
  writer.Key("max_batch_size").Uint(model.max_batch_size);
  const bool batched = model.max_batch_size > 0;
  WriteConfigTensors("input", model.inputs, batched, &writer);
  WriteConfigTensors("output", model.outputs, batched, &writer);
  writer.Key("model_transaction_policy").BeginObject();
  writer.Key("decoupled").Bool(false);
  writer.EndObject().EndObject();
  return json;
}

std::string WriteRepositoryIndex(absl::Span<const RepositoryEntry> entries) {
  std::string json;
  JsonWriter writer(&json);
  writer.BeginArray();
  for (const RepositoryEntry& entry : entries) {
    writer.BeginObject();
    writer.Key("name").String(entry.name);
    writer.Key("version").String(entry.version);
    writer.Key("state").String(entry.ready ? "READY" : "UNAVAILABLE");
    writer.Key("reason").String(entry.reason);
    writer.EndObject();
  }
  writer.EndArray();
  return json;
}

std::string WriteModelNames(absl::Span<const std::string> names) {
  std::string json;
  JsonWriter writer(&json);
  writer.BeginObject();
  writer.Key("models").BeginArray();
  for (const std::string& name : names) writer.String(name);
  writer.EndArray().EndObject();
  return json;
}

std::string WriteStatistics(absl::Span<const ModelStatistics> models) {
  std::string out;
  JsonWriter writer(&out);
  writer.BeginObject().Key("model_stats").BeginArray();
  for (const ModelStatistics& model : models) {
    writer.BeginObject();
    writer.Key("name").String(model.name);
    writer.Key("version").String(model.version);
    writer.Key("last_inference").Uint(model.last_inference_ms);
    writer.Key("inference_count").Uint(model.inferences);
    writer.Key("execution_count").Uint(model.executions);
    writer.Key("inference_stats").BeginObject();
    WriteTotal("success", model.success, &writer);
    WriteTotal("fail", model.fail, &writer);
    WriteTotal("queue", model.queue, &writer);
    WriteTotal("compute_input", model.compute_input, &writer);
    WriteTotal("compute_infer", model.compute_infer, &writer);
    WriteTotal("compute_output", model.compute_output, &writer);
    // Nothing is cached.
    WriteTotal("cache_hit", {}, &writer);
    WriteTotal("cache_miss", {}, &writer);
    writer.EndObject();
    writer.Key("batch_stats").BeginArray().EndArray();
    writer.Key("memory_usage").BeginArray().EndArray();
    writer.Key("response_stats").BeginObject().EndObject();
    writer.EndObject();
  }
  writer.EndArray().EndObject();
  return out;
}

std::string ToUtf8(absl::string_view text) {
  std::string out(text);
  if (!simdjson::validate_utf8(out.data(), out.size())) {
    for (char& c : out) {
      if (static_cast<unsigned char>(c) >= 0x80) c = '?';
    }
  }
  return out;
}

std::string WriteError(absl::string_view message) {
  std::string json;
  JsonWriter writer(&json);
  writer.BeginObject().Key("error").String(ToUtf8(message)).EndObject();
  return json;
}

absl::StatusOr<ServerMetadata> ParseServerMetadata(const Body& body,
                                                   const CodecLimits& limits) {
  return ParseDocument("server metadata is malformed: ", body, limits,
                       ReadServer);
}

absl::StatusOr<ModelMetadata> ParseModelMetadata(const Body& body,
                                                 const CodecLimits& limits) {
  return ParseDocument("model metadata is malformed: ", body, limits,
                       ReadModel);
}

std::string ParseError(absl::string_view text) {
  const std::string plain(text.substr(0, kMaxErrorBytes));
  if (text.size() > CodecLimits().max_json_bytes) return plain;
  const Body body = BodyOf(std::string(text));
  JsonParser parser;
  simdjson::dom::object root;
  std::string_view message;
  if (!parser.ParseObject(body.storage, body.size, &root).ok() ||
      root["error"].get(message) != simdjson::SUCCESS) {
    return plain;
  }
  return std::string(message.substr(0, kMaxErrorBytes));
}

absl::StatusOr<bool> ParseReadyFilter(const Body& body) {
  if (body.size == 0) return false;
  JsonParser parser;
  simdjson::dom::object root;
  PARM_RETURN_IF_ERROR(parser.ParseObject(body.storage, body.size, &root));
  element field;
  if (root["ready"].get(field) != simdjson::SUCCESS) return false;
  bool ready;
  if (field.get(ready) != simdjson::SUCCESS) {
    return absl::InvalidArgumentError("ready must be a boolean");
  }
  return ready;
}

}  // namespace parm::oip
