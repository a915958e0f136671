#include "proto/oip/infer_request_message.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "proto/oip/grpc_service.pb.h"
#include "proto/oip/message_splitter.h"
#include "proto/oip/message_tensors.h"
#include "proto/oip/reserved_parameters.h"
#include "proto/oip/tensor_codec.h"

namespace parm::oip {
namespace {

using InputMessage = inference::ModelInferRequest::InferInputTensor;

constexpr int kRawInputs =
    inference::ModelInferRequest::kRawInputContentsFieldNumber;

absl::Status CheckInputParameters(const InputMessage& from,
                                  const CodecLimits& limits) {
  PARM_ASSIGN_OR_RETURN(const Parameters parameters,
                        ReadParameters(from.parameters(), limits));
  return RefuseSharedMemory(parameters);
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
      PARM_RETURN_IF_ERROR(CheckInputParameters(input, limits));
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
    const absl::Status checked = CheckInputParameters(input, limits);
    if (!checked.ok()) return Annotate(checked, "tensor", input.name());
    absl::StatusOr<Tensor> tensor =
        ReadTensorMessage(input, raw.empty() ? nullptr : &raw[i], limits);
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
  PARM_ASSIGN_OR_RETURN(SplitMessage parts,
                        SplitInferMessage(in, size, kRawInputs, limits));
  inference::ModelInferRequest head;
  if (!head.ParseFromString(parts.head)) {
    return absl::InvalidArgumentError("the message is no ModelInferRequest");
  }
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

absl::StatusOr<MessagePieces> WriteInferRequestMessage(
    const InferRequest& request) {
  inference::ModelInferRequest head;
  head.set_model_name(request.model_name);
  head.set_model_version(request.model_version);
  head.set_id(request.id);
  WriteParameters(request.parameters, head.mutable_parameters());
  size_t raw_bytes = 0;
  for (const Tensor& input : request.inputs) {
    WriteSpec(input.spec, head.add_inputs());
    raw_bytes += FieldSize(input.data.size());
  }
  if (head.ByteSizeLong() + raw_bytes > kMaxMessageBytes) {
    return absl::InvalidArgumentError(
        "the inputs are too large for one message");
  }
  PieceWriter writer;
  head.AppendToString(writer.text());
  for (const Tensor& input : request.inputs) {
    writer.AppendBytesField(kRawInputs, input.data);
  }
  return writer.Finish();
}

}  // namespace parm::oip
