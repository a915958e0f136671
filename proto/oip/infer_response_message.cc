#include "proto/oip/infer_response_message.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "proto/oip/grpc_service.pb.h"
#include "proto/oip/message_splitter.h"
#include "proto/oip/message_tensors.h"
#include "proto/oip/metadata_json.h"
#include "proto/oip/tensor_codec.h"
#include "proto/oip/typed_contents.h"

namespace parm::oip {
namespace {

constexpr int kRawOutputs =
    inference::ModelInferResponse::kRawOutputContentsFieldNumber;

/// The outputs to write, or why they are not there.
absl::StatusOr<std::vector<const Tensor*>> ChooseOutputs(
    const InferResponse& response,
    absl::Span<const RequestedOutput> requested) {
  std::vector<const Tensor*> chosen;
  if (requested.empty()) {
    for (const Tensor& output : response.outputs) chosen.push_back(&output);
    return chosen;
  }
  for (const RequestedOutput& wanted : requested) {
    const auto found = std::find_if(
        response.outputs.begin(), response.outputs.end(),
        [&](const Tensor& output) { return output.spec.name == wanted.name; });
    if (found == response.outputs.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("the model has no such output: got '", wanted.name,
                       "' for model '", response.model_name, "'"));
    }
    chosen.push_back(&*found);
  }
  return chosen;
}

void WriteHead(const InferResponse& response, const AnswerLabel& label,
               inference::ModelInferResponse* out) {
  out->set_model_name(response.model_name);
  out->set_model_version(response.model_version);
  out->set_id(response.id);
  ProtoParameters& parameters = *out->mutable_parameters();
  WriteParameters(response.parameters, &parameters);
  if (label.source.empty()) return;
  parameters["parm_source"].set_string_param(label.source.data(),
                                             label.source.size());
  if (label.confidence.has_value()) {
    parameters["parm_confidence"].set_double_param(*label.confidence);
  }
}

/// Writes a response, and in front of it the head of the stream message that
/// holds it, if it is for a stream.
absl::StatusOr<MessagePieces> WriteMessage(
    const InferResponse& response, absl::Span<const RequestedOutput> requested,
    bool raw, const AnswerLabel& label, bool in_stream) {
  PARM_ASSIGN_OR_RETURN(const std::vector<const Tensor*> outputs,
                        ChooseOutputs(response, requested));
  for (const Tensor* output : outputs) {
    raw = raw || !HasTypedForm(output->spec.datatype);
  }
  inference::ModelInferResponse head;
  WriteHead(response, label, &head);
  // The protocol's mark of a query's last reply, which streams carry.
  if (in_stream) {
    (*head.mutable_parameters())["triton_final_response"].set_bool_param(true);
  }
  size_t raw_bytes = 0;
  for (const Tensor* output : outputs) {
    auto* const out = head.add_outputs();
    WriteSpec(output->spec, out);
    if (raw) {
      raw_bytes += FieldSize(output->data.size());
    } else {
      WriteTypedContents(output->spec.datatype, output->data,
                         out->mutable_contents());
    }
  }
  const size_t head_bytes = head.ByteSizeLong();
  if (head_bytes + raw_bytes > kMaxMessageBytes) {
    return absl::InvalidArgumentError(
        "the outputs are too large for one message");
  }
  PieceWriter writer;
  if (in_stream) {
    AppendTag(inference::ModelStreamInferResponse::kInferResponseFieldNumber,
              writer.text());
    AppendVarint(head_bytes + raw_bytes, writer.text());
  }
  head.AppendToString(writer.text());
  if (raw) {
    for (const Tensor* output : outputs) {
      writer.AppendBytesField(kRawOutputs, output->data);
    }
  }
  return writer.Finish();
}

absl::StatusOr<InferResponse> ReadReply(
    google::protobuf::io::ZeroCopyInputStream* in, size_t size,
    const CodecLimits& limits) {
  PARM_ASSIGN_OR_RETURN(SplitMessage parts,
                        SplitInferMessage(in, size, kRawOutputs, limits));
  inference::ModelInferResponse head;
  if (!head.ParseFromString(parts.head)) {
    return absl::InvalidArgumentError("the message is no ModelInferResponse");
  }
  InferResponse response;
  PARM_RETURN_IF_ERROR(CheckName("model_name", head.model_name(), limits));
  PARM_RETURN_IF_ERROR(
      CheckName("model_version", head.model_version(), limits));
  PARM_RETURN_IF_ERROR(CheckName("id", head.id(), limits));
  response.model_name = std::move(*head.mutable_model_name());
  response.model_version = std::move(*head.mutable_model_version());
  response.id = std::move(*head.mutable_id());
  const auto num_outputs = static_cast<size_t>(head.outputs_size());
  if (num_outputs > limits.max_tensors) {
    return absl::InvalidArgumentError(
        absl::StrCat("too many tensors: got ", num_outputs, ", want at most ",
                     limits.max_tensors));
  }
  if (!parts.raw.empty() && parts.raw.size() != num_outputs) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the number of raw_output_contents differs from that of the outputs: "
        "got ",
        parts.raw.size(), ", want ", num_outputs));
  }
  response.outputs.reserve(num_outputs);
  for (size_t i = 0; i < num_outputs; ++i) {
    const auto& output = head.outputs(static_cast<int>(i));
    absl::StatusOr<Tensor> tensor = ReadTensorMessage(
        output, parts.raw.empty() ? nullptr : &parts.raw[i], limits);
    if (!tensor.ok()) return Annotate(tensor.status(), "tensor", output.name());
    response.outputs.push_back(*std::move(tensor));
  }
  return response;
}

}  // namespace

absl::StatusOr<MessagePieces> WriteInferMessage(
    const InferResponse& response, absl::Span<const RequestedOutput> requested,
    bool raw, const AnswerLabel& label) {
  return WriteMessage(response, requested, raw, label, /*in_stream=*/false);
}

absl::StatusOr<MessagePieces> WriteStreamMessage(
    const InferResponse& response, absl::Span<const RequestedOutput> requested,
    bool raw, const AnswerLabel& label) {
  return WriteMessage(response, requested, raw, label, /*in_stream=*/true);
}

MessagePieces WriteStreamError(absl::string_view message,
                               absl::string_view id) {
  inference::ModelStreamInferResponse out;
  out.set_error_message(ToUtf8(message));
  out.mutable_infer_response()->set_id(id.data(), id.size());
  return {Buffer::FromString(out.SerializeAsString())};
}

absl::StatusOr<InferResponse> ReadInferReply(
    google::protobuf::io::ZeroCopyInputStream* in, size_t size,
    const CodecLimits& limits) {
  absl::StatusOr<InferResponse> response = ReadReply(in, size, limits);
  if (response.ok()) return response;
  // Whose fault it is differs from a request: the peer's, not a client's.
  return absl::DataLossError(
      absl::StrCat("a reply is malformed: ", response.status().message()));
}

}  // namespace parm::oip
