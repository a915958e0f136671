#include "proto/oip/message_tensors.h"

#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "proto/oip/json_tensor.h"
#include "proto/oip/typed_contents.h"

namespace parm::oip {
namespace {

absl::StatusOr<Buffer> CheckedRaw(const TensorSpec& spec, int64_t num_elements,
                                  Buffer raw) {
  if (spec.datatype == DataType::kBytes) {
    PARM_RETURN_IF_ERROR(CheckBytesTensor(raw.bytes(), num_elements));
    return raw;
  }
  PARM_ASSIGN_OR_RETURN(const int64_t want,
                        NumBytes(spec.datatype, spec.shape));
  if (raw.size() != static_cast<uint64_t>(want)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the size of raw contents differs from shape and datatype: got ",
        raw.size(), " bytes, want ", want, " for ", DataTypeName(spec.datatype),
        ShapeToString(spec.shape)));
  }
  return raw;
}

void WriteParameter(const ParameterValue& value,
                    inference::InferParameter* out) {
  if (const auto* flag = std::get_if<bool>(&value)) {
    out->set_bool_param(*flag);
  } else if (const auto* number = std::get_if<int64_t>(&value)) {
    out->set_int64_param(*number);
  } else if (const auto* big = std::get_if<uint64_t>(&value)) {
    out->set_uint64_param(*big);
  } else if (const auto* real = std::get_if<double>(&value)) {
    out->set_double_param(*real);
  } else {
    out->set_string_param(std::get<std::string>(value));
  }
}

}  // namespace

absl::Status CheckName(absl::string_view what, const std::string& name,
                       const CodecLimits& limits) {
  if (name.size() <= limits.max_name_bytes) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(what, " is too long: got ", name.size(),
                   " bytes, want at most ", limits.max_name_bytes));
}

absl::StatusOr<Parameters> ReadParameters(const ProtoParameters& from,
                                          const CodecLimits& limits) {
  if (from.size() > limits.max_parameters) {
    return absl::InvalidArgumentError(
        absl::StrCat("too many parameters: got ", from.size(),
                     ", want at most ", limits.max_parameters));
  }
  Parameters out;
  out.reserve(from.size());
  for (const auto& [name, value] : from) {
    PARM_RETURN_IF_ERROR(CheckName("a parameter's name", name, limits));
    switch (value.parameter_choice_case()) {
      case inference::InferParameter::kBoolParam:
        out.emplace_back(name, value.bool_param());
        break;
      case inference::InferParameter::kInt64Param:
        out.emplace_back(name, int64_t{value.int64_param()});
        break;
      case inference::InferParameter::kStringParam:
        PARM_RETURN_IF_ERROR(
            CheckName("a parameter", value.string_param(), limits));
        out.emplace_back(name, value.string_param());
        break;
      case inference::InferParameter::kDoubleParam:
        out.emplace_back(name, value.double_param());
        break;
      case inference::InferParameter::kUint64Param:
        out.emplace_back(name, uint64_t{value.uint64_param()});
        break;
      default:
        return absl::InvalidArgumentError(
            absl::StrCat("a parameter has no value: got '", name, "'"));
    }
  }
  return out;
}

void WriteParameters(const Parameters& from, ProtoParameters* out) {
  for (const auto& [name, value] : from) WriteParameter(value, &(*out)[name]);
}

template <typename TensorMessage>
absl::Status ReadSpec(const TensorMessage& from, const CodecLimits& limits,
                      TensorSpec* out) {
  PARM_RETURN_IF_ERROR(CheckName("name", from.name(), limits));
  out->datatype = ParseDataType(from.datatype());
  if (out->datatype == DataType::kInvalid) {
    PARM_RETURN_IF_ERROR(CheckName("datatype", from.datatype(), limits));
    return absl::InvalidArgumentError(
        absl::StrCat("unknown datatype: got '", from.datatype(), "'"));
  }
  if (static_cast<size_t>(from.shape_size()) > limits.max_rank) {
    return absl::InvalidArgumentError(
        absl::StrCat("shape has too many dimensions: got ", from.shape_size(),
                     ", want at most ", limits.max_rank));
  }
  out->name = from.name();
  out->shape.assign(from.shape().begin(), from.shape().end());
  return absl::OkStatus();
}

template <typename TensorMessage>
absl::StatusOr<Tensor> ReadTensorMessage(const TensorMessage& from, Buffer* raw,
                                         const CodecLimits& limits) {
  Tensor tensor;
  PARM_RETURN_IF_ERROR(ReadSpec(from, limits, &tensor.spec));
  PARM_ASSIGN_OR_RETURN(const int64_t num_elements,
                        NumElements(tensor.spec.shape));
  if (raw == nullptr) {
    PARM_ASSIGN_OR_RETURN(
        tensor.data,
        ReadTypedContents(from.contents(), tensor.spec.datatype, num_elements));
    return tensor;
  }
  // MLServer has empty ones there.
  if (from.has_contents() && from.contents().ByteSizeLong() > 0) {
    return absl::InvalidArgumentError(
        "contents must not be given beside raw ones");
  }
  PARM_ASSIGN_OR_RETURN(tensor.data,
                        CheckedRaw(tensor.spec, num_elements, std::move(*raw)));
  return tensor;
}

template absl::Status ReadSpec(
    const inference::ModelMetadataResponse::TensorMetadata&, const CodecLimits&,
    TensorSpec*);
template absl::StatusOr<Tensor> ReadTensorMessage(
    const inference::ModelInferRequest::InferInputTensor&, Buffer*,
    const CodecLimits&);
template absl::StatusOr<Tensor> ReadTensorMessage(
    const inference::ModelInferResponse::InferOutputTensor&, Buffer*,
    const CodecLimits&);

}  // namespace parm::oip
