#include "proto/oip/infer_request_message.h"

#include <google/protobuf/io/coded_stream.h>

#include <algorithm>
#include <climits>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "proto/oip/grpc_service.pb.h"
#include "proto/oip/json_tensor.h"
#include "proto/oip/reserved_parameters.h"
#include "proto/oip/tensor_codec.h"
#include "proto/oip/typed_contents.h"

namespace parm::oip {
namespace {

using google::protobuf::io::CodedInputStream;
using google::protobuf::io::CodedOutputStream;
using InputMessage = inference::ModelInferRequest::InferInputTensor;
using ProtoParameters =
    google::protobuf::Map<std::string, inference::InferParameter>;

constexpr uint32_t kRawInputs =
    inference::ModelInferRequest::kRawInputContentsFieldNumber;
/// The wire types of protobuf's encoding; a tag is field number and wire type.
constexpr uint32_t kVarint = 0;
constexpr uint32_t kFixed64 = 1;
constexpr uint32_t kLengthDelimited = 2;
constexpr uint32_t kFixed32 = 5;

absl::Status Malformed() {
  return absl::InvalidArgumentError("the message is no ModelInferRequest");
}

void AppendVarint(uint32_t value, std::string* out) {
  uint8_t bytes[5];
  const uint8_t* const end =
      CodedOutputStream::WriteVarint32ToArray(value, bytes);
  out->append(reinterpret_cast<const char*>(bytes),
              static_cast<size_t>(end - bytes));
}

/// Takes a message apart: raw tensors into buffers of their own, the other
/// fields of the message, as they are, into `head`.
class MessageSplitter {
 public:
  MessageSplitter(google::protobuf::io::ZeroCopyInputStream* in, size_t size,
                  const CodecLimits& limits)
      : in_(in), size_(size), limits_(limits) {}

  absl::Status Split();

  std::string head;
  std::vector<Buffer> raw;

 private:
  absl::Status TakeBytes(uint32_t tag);

  CodedInputStream in_;
  const size_t size_;
  const CodecLimits& limits_;
};

absl::Status MessageSplitter::Split() {
  if (size_ > INT_MAX) return Malformed();
  while (const uint32_t tag = in_.ReadTag()) {
    uint64_t unused;
    switch (tag & 7) {
      // Fields that are not ours: all of ours are length-delimited.
      case kVarint:
        if (!in_.ReadVarint64(&unused)) return Malformed();
        break;
      case kFixed64:
        if (!in_.Skip(8)) return Malformed();
        break;
      case kFixed32:
        if (!in_.Skip(4)) return Malformed();
        break;
      case kLengthDelimited:
        PARM_RETURN_IF_ERROR(TakeBytes(tag));
        break;
      default:
        return Malformed();
    }
  }
  // A tag of 0 is no end.
  const bool complete = in_.ConsumedEntireMessage() &&
                        static_cast<size_t>(in_.CurrentPosition()) == size_;
  return complete ? absl::OkStatus() : Malformed();
}

absl::Status MessageSplitter::TakeBytes(uint32_t tag) {
  uint32_t length;
  if (!in_.ReadVarint32(&length) ||
      length > size_ - static_cast<size_t>(in_.CurrentPosition())) {
    return Malformed();
  }
  const auto num_bytes = static_cast<int>(length);
  const uint32_t field = tag >> 3;
  if (field > kRawInputs) {
    return in_.Skip(num_bytes) ? absl::OkStatus() : Malformed();
  }
  if (field < kRawInputs) {
    AppendVarint(tag, &head);
    AppendVarint(length, &head);
    const size_t end = head.size();
    head.resize(end + length);
    return in_.ReadRaw(head.data() + end, num_bytes) ? absl::OkStatus()
                                                     : Malformed();
  }
  if (raw.size() == limits_.max_tensors) {
    return absl::InvalidArgumentError(absl::StrCat(
        "too many raw_input_contents: want at most ", limits_.max_tensors));
  }
  std::byte* out;
  raw.push_back(Buffer::Allocate(length, &out));
  return in_.ReadRaw(out, num_bytes) ? absl::OkStatus() : Malformed();
}

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

absl::Status ReadSpec(const InputMessage& from, const CodecLimits& limits,
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
        "the size of raw_input_contents differs from shape and datatype: got ",
        raw.size(), " bytes, want ", want, " for ", DataTypeName(spec.datatype),
        ShapeToString(spec.shape)));
  }
  return raw;
}

/// `raw`: the tensor's bytes; null if they are in its contents.
absl::StatusOr<Tensor> ReadInput(const InputMessage& from, Buffer* raw,
                                 const CodecLimits& limits) {
  Tensor tensor;
  PARM_RETURN_IF_ERROR(ReadSpec(from, limits, &tensor.spec));
  PARM_ASSIGN_OR_RETURN(const Parameters parameters,
                        ReadParameters(from.parameters(), limits));
  PARM_RETURN_IF_ERROR(RefuseSharedMemory(parameters));
  PARM_ASSIGN_OR_RETURN(const int64_t num_elements,
                        NumElements(tensor.spec.shape));
  if (raw == nullptr) {
    PARM_ASSIGN_OR_RETURN(
        tensor.data,
        ReadTypedContents(from.contents(), tensor.spec.datatype, num_elements));
    return tensor;
  }
  if (from.has_contents()) {
    return absl::InvalidArgumentError(
        "contents must not be given beside raw_input_contents");
  }
  PARM_ASSIGN_OR_RETURN(tensor.data,
                        CheckedRaw(tensor.spec, num_elements, std::move(*raw)));
  return tensor;
}

absl::Status ReadInputs(const inference::ModelInferRequest& from,
                        std::vector<Buffer> raw, const CodecLimits& limits,
                        InferRequest* out) {
  const auto num_inputs = static_cast<size_t>(from.inputs_size());
  if (num_inputs > limits.max_tensors) {
    return absl::InvalidArgumentError(
        absl::StrCat("too many tensors: got ", num_inputs, ", want at most ",
                     limits.max_tensors));
  }
  if (!raw.empty() && raw.size() != num_inputs) {
    // One in shared memory has none; that deserves its own sentence.
    for (const auto& input : from.inputs()) {
      PARM_ASSIGN_OR_RETURN(const Parameters parameters,
                            ReadParameters(input.parameters(), limits));
      PARM_RETURN_IF_ERROR(RefuseSharedMemory(parameters));
    }
    return absl::InvalidArgumentError(absl::StrCat(
        "the number of raw_input_contents differs from that of the inputs: "
        "got ",
        raw.size(), ", want ", num_inputs));
  }
  out->inputs.reserve(num_inputs);
  for (size_t i = 0; i < num_inputs; ++i) {
    const auto& input = from.inputs(static_cast<int>(i));
    if (input.name().empty()) {
      return absl::InvalidArgumentError("the name of a tensor is missing");
    }
    for (const Tensor& other : out->inputs) {
      if (other.spec.name == input.name()) {
        return absl::InvalidArgumentError(
            absl::StrCat("a tensor is given twice: got '", input.name(), "'"));
      }
    }
    absl::StatusOr<Tensor> tensor =
        ReadInput(input, raw.empty() ? nullptr : &raw[i], limits);
    if (!tensor.ok()) return Annotate(tensor.status(), "tensor", input.name());
    out->inputs.push_back(*std::move(tensor));
  }
  return absl::OkStatus();
}

absl::Status ReadOutputs(const inference::ModelInferRequest& from,
                         const CodecLimits& limits, InferRequest* out) {
  if (static_cast<size_t>(from.outputs_size()) > limits.max_tensors) {
    return absl::InvalidArgumentError(
        absl::StrCat("too many requested outputs: got ", from.outputs_size(),
                     ", want at most ", limits.max_tensors));
  }
  for (const auto& wanted : from.outputs()) {
    PARM_RETURN_IF_ERROR(CheckName("name", wanted.name(), limits));
    if (wanted.name().empty()) {
      return absl::InvalidArgumentError(
          "the name of a requested output is missing");
    }
    RequestedOutput output{.name = wanted.name(),
                           .binary = out->binary_outputs};
    PARM_ASSIGN_OR_RETURN(output.parameters,
                          ReadParameters(wanted.parameters(), limits));
    PARM_RETURN_IF_ERROR(CheckOutputParameters(output));
    for (const RequestedOutput& other : out->outputs) {
      if (other.name == output.name) {
        return absl::InvalidArgumentError(absl::StrCat(
            "an output is requested twice: got '", output.name, "'"));
      }
    }
    out->outputs.push_back(std::move(output));
  }
  return absl::OkStatus();
}

/// What only streams know: whether a last reply without outputs is wanted.
/// Every query has one reply, so there is none.
void DropStreamParameter(Parameters* parameters) {
  const auto found = std::find_if(
      parameters->begin(), parameters->end(), [](const auto& parameter) {
        return parameter.first == "triton_enable_empty_final_response";
      });
  if (found != parameters->end()) parameters->erase(found);
}

}  // namespace

absl::StatusOr<InferRequest> ReadInferMessage(
    google::protobuf::io::ZeroCopyInputStream* in, size_t size,
    const CodecLimits& limits) {
  MessageSplitter parts(in, size, limits);
  PARM_RETURN_IF_ERROR(parts.Split());
  inference::ModelInferRequest head;
  if (!head.ParseFromString(parts.head)) return Malformed();
  InferRequest request;
  PARM_RETURN_IF_ERROR(CheckName("model_name", head.model_name(), limits));
  PARM_RETURN_IF_ERROR(
      CheckName("model_version", head.model_version(), limits));
  PARM_RETURN_IF_ERROR(CheckName("id", head.id(), limits));
  request.model_name = std::move(*head.mutable_model_name());
  request.model_version = std::move(*head.mutable_model_version());
  request.id = std::move(*head.mutable_id());
  request.binary_outputs = !parts.raw.empty();
  PARM_ASSIGN_OR_RETURN(request.parameters,
                        ReadParameters(head.parameters(), limits));
  DropStreamParameter(&request.parameters);
  PARM_RETURN_IF_ERROR(CheckReserved(request.parameters));
  PARM_RETURN_IF_ERROR(
      ReadInputs(head, std::move(parts.raw), limits, &request));
  PARM_RETURN_IF_ERROR(ReadOutputs(head, limits, &request));
  return request;
}

}  // namespace parm::oip
