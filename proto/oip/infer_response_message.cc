#include "proto/oip/infer_response_message.h"

#include <google/protobuf/io/coded_stream.h>

#include <algorithm>
#include <climits>
#include <string>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "proto/oip/grpc_service.pb.h"
#include "proto/oip/metadata_json.h"
#include "proto/oip/typed_contents.h"

namespace parm::oip {
namespace {

using google::protobuf::io::CodedOutputStream;
using ProtoParameters =
    google::protobuf::Map<std::string, inference::InferParameter>;

/// Smaller tensors are copied beside the rest: a piece costs more than that.
constexpr size_t kMinPieceBytes = 4096;
/// What a message may hold, and a little less: protobuf counts in int.
constexpr size_t kMaxMessageBytes = size_t{INT_MAX} - 64;
/// Of protobuf's encoding.
constexpr uint32_t kLengthDelimited = 2;

void AppendVarint(uint64_t value, std::string* out) {
  uint8_t bytes[10];
  const uint8_t* const end =
      CodedOutputStream::WriteVarint64ToArray(value, bytes);
  out->append(reinterpret_cast<const char*>(bytes),
              static_cast<size_t>(end - bytes));
}

void AppendTag(int field, std::string* out) {
  AppendVarint((static_cast<uint32_t>(field) << 3) | kLengthDelimited, out);
}

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

void WriteHead(const InferResponse& response, const AnswerLabel& label,
               inference::ModelInferResponse* out) {
  out->set_model_name(response.model_name);
  out->set_model_version(response.model_version);
  out->set_id(response.id);
  ProtoParameters& parameters = *out->mutable_parameters();
  for (const auto& [name, value] : response.parameters) {
    WriteParameter(value, &parameters[name]);
  }
  if (label.source.empty()) return;
  parameters["parm_source"].set_string_param(label.source.data(),
                                             label.source.size());
  if (label.confidence.has_value()) {
    parameters["parm_confidence"].set_double_param(*label.confidence);
  }
}

/// Appends bytes to a message and cuts it into pieces where a large tensor
/// stands, which becomes a piece of its own without a copy.
class PieceWriter {
 public:
  std::string* text() { return &text_; }

  void AppendTensor(const Buffer& data) {
    if (data.size() < kMinPieceBytes) {
      text_.append(reinterpret_cast<const char*>(data.bytes().data()),
                   data.size());
      return;
    }
    Cut();
    pieces_.push_back(data);
  }

  MessagePieces Finish() {
    Cut();
    return std::move(pieces_);
  }

 private:
  void Cut() {
    if (text_.empty()) return;
    pieces_.push_back(Buffer::FromString(std::exchange(text_, {})));
  }

  std::string text_;
  MessagePieces pieces_;
};

size_t VarintSize(size_t value) {
  return CodedOutputStream::VarintSize64(value);
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
    out->set_name(output->spec.name);
    const absl::string_view datatype = DataTypeName(output->spec.datatype);
    out->set_datatype(datatype.data(), datatype.size());
    out->mutable_shape()->Add(output->spec.shape.begin(),
                              output->spec.shape.end());
    if (raw) {
      raw_bytes += 1 + VarintSize(output->data.size()) + output->data.size();
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
      AppendTag(inference::ModelInferResponse::kRawOutputContentsFieldNumber,
                writer.text());
      AppendVarint(output->data.size(), writer.text());
      writer.AppendTensor(output->data);
    }
  }
  return writer.Finish();
}

}  // namespace

size_t TotalBytes(const MessagePieces& pieces) {
  size_t total = 0;
  for (const Buffer& piece : pieces) total += piece.size();
  return total;
}

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

}  // namespace parm::oip
