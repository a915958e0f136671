#include "proto/oip/tensor_codec.h"

#include <simdjson.h>

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "proto/oip/json_tensor.h"
#include "proto/oip/reserved_parameters.h"

namespace parm::oip {
namespace {

using simdjson::dom::element;

/// The members of a tensor's object, before they are put together.
struct TensorFields {
  std::string name;
  std::string datatype;
  std::optional<element> shape;
  std::optional<element> parameters;
  std::optional<element> data;
  bool has_name = false;
  bool has_datatype = false;
};

absl::Status Repeated(absl::string_view key) {
  return absl::InvalidArgumentError(
      absl::StrCat("a key is given twice: got '", key, "'"));
}

absl::Status SetOnce(absl::string_view key, const element& value,
                     std::optional<element>* field) {
  if (field->has_value()) return Repeated(key);
  *field = value;
  return absl::OkStatus();
}

absl::Status ReadField(absl::string_view key, const element& value,
                       const CodecLimits& limits, TensorFields* fields) {
  if (key == "name") {
    if (std::exchange(fields->has_name, true)) return Repeated(key);
    return ReadName(value, key, limits, &fields->name);
  }
  if (key == "datatype") {
    if (std::exchange(fields->has_datatype, true)) return Repeated(key);
    return ReadName(value, key, limits, &fields->datatype);
  }
  if (key == "shape") return SetOnce(key, value, &fields->shape);
  if (key == "parameters") return SetOnce(key, value, &fields->parameters);
  if (key == "data") return SetOnce(key, value, &fields->data);
  return absl::OkStatus();  // Unknown keys are other people's extensions.
}

absl::Status ReadShape(const element& value, const CodecLimits& limits,
                       std::vector<int64_t>* out) {
  simdjson::dom::array array;
  if (value.get(array) != simdjson::SUCCESS) {
    return absl::InvalidArgumentError("shape must be an array");
  }
  if (array.size() > limits.max_rank) {
    return absl::InvalidArgumentError(
        absl::StrCat("shape has too many dimensions: got ", array.size(),
                     ", want at most ", limits.max_rank));
  }
  out->reserve(array.size());
  for (const element dimension : array) {
    int64_t size;
    if (dimension.get(size) != simdjson::SUCCESS || size < 0) {
      return absl::InvalidArgumentError(
          "shape must hold integers that are not negative");
    }
    out->push_back(size);
  }
  return absl::OkStatus();
}

/// binary_data_size of a tensor, if it is binary.
absl::StatusOr<std::optional<uint64_t>> TakeBinarySize(Parameters* parameters) {
  const std::optional<ParameterValue> value =
      TakeParameter("binary_data_size", parameters);
  if (!value.has_value()) return std::optional<uint64_t>();
  // simdjson calls every integer up to INT64_MAX signed.
  const auto* size = std::get_if<int64_t>(&*value);
  if (size == nullptr || *size < 0) {
    return absl::InvalidArgumentError(
        "binary_data_size must be an integer that is not negative");
  }
  return std::optional<uint64_t>(*size);
}

absl::StatusOr<Buffer> TakeBinary(const TensorSpec& spec, int64_t num_elements,
                                  uint64_t size, BinaryPart* binary) {
  if (size > binary->end - binary->offset) {
    return absl::InvalidArgumentError(absl::StrCat(
        "binary_data_size is more than the body holds: got ", size, ", want ",
        binary->end - binary->offset, " bytes or fewer"));
  }
  Buffer data =
      binary->storage->Slice(binary->offset, static_cast<size_t>(size));
  binary->offset += static_cast<size_t>(size);
  if (spec.datatype == DataType::kBytes) {
    PARM_RETURN_IF_ERROR(CheckBytesTensor(data.bytes(), num_elements));
    return data;
  }
  PARM_ASSIGN_OR_RETURN(const int64_t want,
                        NumBytes(spec.datatype, spec.shape));
  if (size != static_cast<uint64_t>(want)) {
    return absl::InvalidArgumentError(
        absl::StrCat("binary_data_size differs from shape and datatype: got ",
                     size, ", want ", want, " for ",
                     DataTypeName(spec.datatype), ShapeToString(spec.shape)));
  }
  return data;
}

absl::Status ResolveTensor(const TensorFields& fields,
                           const TensorReadOptions& options, BinaryPart* binary,
                           Tensor* out) {
  out->spec.datatype = ParseDataType(fields.datatype);
  if (out->spec.datatype == DataType::kInvalid) {
    return absl::InvalidArgumentError(
        absl::StrCat("unknown datatype: got '", fields.datatype, "'"));
  }
  if (!fields.shape.has_value()) {
    return absl::InvalidArgumentError("shape is missing");
  }
  PARM_RETURN_IF_ERROR(
      ReadShape(*fields.shape, options.limits, &out->spec.shape));
  PARM_ASSIGN_OR_RETURN(const int64_t num_elements,
                        NumElements(out->spec.shape));
  std::optional<uint64_t> binary_size;
  if (fields.parameters.has_value()) {
    Parameters parameters;
    PARM_RETURN_IF_ERROR(ReadParameters(*fields.parameters, options.sender,
                                        options.limits, &parameters));
    PARM_ASSIGN_OR_RETURN(binary_size, TakeBinarySize(&parameters));
    PARM_RETURN_IF_ERROR(RefuseSharedMemory(parameters));
  }
  if (binary_size.has_value() == fields.data.has_value()) {
    return absl::InvalidArgumentError(
        binary_size.has_value()
            ? "data and binary_data_size must not both be given"
            : "data is missing");
  }
  if (binary_size.has_value()) {
    PARM_ASSIGN_OR_RETURN(
        out->data, TakeBinary(out->spec, num_elements, *binary_size, binary));
    return absl::OkStatus();
  }
  PARM_ASSIGN_OR_RETURN(
      out->data,
      ReadJsonTensor(*fields.data, out->spec.datatype, num_elements,
                     {.max_bytes = options.limits.max_json_tensor_bytes,
                      .json_bytes = options.json_bytes,
                      .null_is_nan = options.sender == Sender::kServer}));
  return absl::OkStatus();
}

}  // namespace

absl::Status Annotate(const absl::Status& status, absl::string_view what,
                      absl::string_view name) {
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      absl::StrCat(what, " '", name, "': ", status.message()));
}

absl::StatusOr<Tensor> ReadTensor(const element& value,
                                  const TensorReadOptions& options,
                                  BinaryPart* binary) {
  simdjson::dom::object object;
  if (value.get(object) != simdjson::SUCCESS) {
    return absl::InvalidArgumentError("a tensor must be an object");
  }
  TensorFields fields;
  for (const simdjson::dom::key_value_pair field : object) {
    PARM_RETURN_IF_ERROR(Annotate(
        ReadField(ToView(field.key), field.value, options.limits, &fields),
        "tensor", fields.name));
  }
  if (fields.name.empty()) {
    return absl::InvalidArgumentError("the name of a tensor is missing");
  }
  Tensor tensor;
  PARM_RETURN_IF_ERROR(Annotate(ResolveTensor(fields, options, binary, &tensor),
                                "tensor", fields.name));
  tensor.spec.name = std::move(fields.name);
  return tensor;
}

absl::Status ReadTensors(const element& value, const TensorReadOptions& options,
                         BinaryPart* binary, std::vector<Tensor>* out) {
  simdjson::dom::array array;
  if (value.get(array) != simdjson::SUCCESS) {
    return absl::InvalidArgumentError("tensors must be an array of objects");
  }
  if (array.size() > options.limits.max_tensors) {
    return absl::InvalidArgumentError(
        absl::StrCat("too many tensors: got ", array.size(), ", want at most ",
                     options.limits.max_tensors));
  }
  out->reserve(array.size());
  for (const element item : array) {
    PARM_ASSIGN_OR_RETURN(Tensor tensor, ReadTensor(item, options, binary));
    for (const Tensor& other : *out) {
      if (other.spec.name == tensor.spec.name) {
        return absl::InvalidArgumentError(absl::StrCat(
            "a tensor is given twice: got '", tensor.spec.name, "'"));
      }
    }
    out->push_back(std::move(tensor));
  }
  if (binary->offset != binary->end) {
    return absl::InvalidArgumentError(
        absl::StrCat("binary_data_size of all tensors is less than the body "
                     "holds: got ",
                     binary->end - binary->offset, " bytes more"));
  }
  return absl::OkStatus();
}

absl::Status WriteTensor(const Tensor& tensor, bool binary, JsonWriter* writer,
                         EncodedBody* out) {
  writer->BeginObject();
  writer->Key("name").String(tensor.spec.name);
  writer->Key("datatype").String(DataTypeName(tensor.spec.datatype));
  writer->Key("shape").BeginArray();
  for (const int64_t dimension : tensor.spec.shape) writer->Int(dimension);
  writer->EndArray();
  if (binary) {
    writer->Key("parameters").BeginObject();
    writer->Key("binary_data_size").Uint(tensor.data.size());
    writer->EndObject();
    out->tensors.push_back(tensor.data);
    out->binary = true;
  } else {
    writer->Key("data");
    PARM_RETURN_IF_ERROR(
        Annotate(WriteJsonTensor({.datatype = tensor.spec.datatype,
                                  .shape = tensor.spec.shape,
                                  .bytes = tensor.data.bytes()},
                                 writer),
                 "tensor", tensor.spec.name));
  }
  writer->EndObject();
  return absl::OkStatus();
}

void WriteParameterFields(const Parameters& parameters, JsonWriter* writer) {
  for (const auto& [name, value] : parameters) {
    writer->Key(name);
    if (const auto* flag = std::get_if<bool>(&value)) {
      writer->Bool(*flag);
    } else if (const auto* number = std::get_if<int64_t>(&value)) {
      writer->Int(*number);
    } else if (const auto* big = std::get_if<uint64_t>(&value)) {
      writer->Uint(*big);
    } else if (const auto* real = std::get_if<double>(&value)) {
      writer->Double(*real);
    } else {
      writer->String(std::get<std::string>(value));
    }
  }
}

void WriteParameters(const Parameters& parameters, JsonWriter* writer) {
  if (parameters.empty()) return;
  writer->Key("parameters").BeginObject();
  WriteParameterFields(parameters, writer);
  writer->EndObject();
}

}  // namespace parm::oip
