#include "experiments/load/infer_wire.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "proto/oip/infer_request_codec.h"
#include "proto/oip/infer_request_message.h"
#include "proto/oip/infer_response_message.h"

namespace parm {
namespace {

/// The model's shape with the batch dimension set to one image.
absl::StatusOr<std::vector<int64_t>> ShapeOfOneImage(const TensorSpec& input,
                                                     const TestData& data) {
  std::vector<int64_t> shape = input.shape;
  if (!shape.empty() && shape[0] == -1) shape[0] = 1;
  const auto elements = NumElements(shape);
  if (!elements.ok() || *elements != data.height * data.width) {
    return absl::InvalidArgumentError(absl::StrCat(
        "model's input does not hold one image of the data set: input ",
        input.name, " is ", ShapeToString(input.shape), ", images are [",
        data.height, ",", data.width, "]"));
  }
  return shape;
}

absl::StatusOr<TensorSpec> FindInput(const oip::ModelMetadata& model,
                                     absl::string_view name) {
  if (name.empty() && model.inputs.size() == 1) return model.inputs[0];
  for (const TensorSpec& input : model.inputs) {
    if (input.name == name) return input;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("model has no such input: got \"", name, "\", it has ",
                   model.inputs.size(), " inputs"));
}

absl::StatusOr<std::string> HttpHead(const oip::InferRequest& request,
                                     const InferWire::Options& options,
                                     size_t tensor_bytes) {
  PARM_ASSIGN_OR_RETURN(
      const oip::EncodedBody encoded,
      oip::WriteInferRequest(request, /*binary_inputs=*/true));
  return absl::StrCat("POST /v2/models/", options.model,
                      "/infer HTTP/1.1\r\nHost: ", options.host_header,
                      "\r\nContent-Type: application/octet-stream"
                      "\r\nInference-Header-Content-Length: ",
                      encoded.json.size(), "\r\nContent-Length: ",
                      encoded.json.size() + tensor_bytes, "\r\n\r\n",
                      encoded.json);
}

// The only raw tensor is the last field of the message.
absl::StatusOr<std::string> GrpcHead(const oip::InferRequest& request,
                                     size_t tensor_bytes) {
  PARM_ASSIGN_OR_RETURN(const oip::MessagePieces pieces,
                        oip::WriteInferRequestMessage(request));
  std::string message;
  for (const Buffer& piece : pieces) {
    message.append(reinterpret_cast<const char*>(piece.bytes().data()),
                   piece.size());
  }
  message.resize(message.size() - tensor_bytes);
  return message;
}

}  // namespace

absl::StatusOr<InferWire> InferWire::Create(const Options& options,
                                            const oip::ModelMetadata& model,
                                            const TestData& data) {
  PARM_ASSIGN_OR_RETURN(TensorSpec input, FindInput(model, options.input));
  PARM_ASSIGN_OR_RETURN(input.shape, ShapeOfOneImage(input, data));
  InferWire wire;
  const size_t num_pixels = data.pixels.size();
  if (input.datatype == DataType::kUint8) {
    wire.tensors_.assign(data.pixels.begin(), data.pixels.end());
  } else if (input.datatype == DataType::kFp32) {
    wire.tensors_.resize(num_pixels * sizeof(float));
    for (size_t i = 0; i < num_pixels; ++i) {
      const auto value = static_cast<float>(data.pixels[i]);
      std::memcpy(wire.tensors_.data() + i * sizeof(float), &value,
                  sizeof(float));
    }
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("images go as UINT8 or FP32: input ", input.name, " is ",
                     DataTypeName(input.datatype)));
  }
  wire.sample_bytes_ =
      wire.tensors_.size() / static_cast<size_t>(data.num_samples);

  oip::InferRequest request;
  if (options.deadline_us > 0) {
    request.parameters.emplace_back("parm_deadline_us", options.deadline_us);
  }
  if (!options.mode.empty()) {
    request.parameters.emplace_back("parm_mode", options.mode);
  }
  request.binary_outputs = true;
  request.inputs.push_back(
      {.spec = input, .data = Buffer::FromString(std::string(wire.body(0)))});
  wire.protocol_ = options.protocol;
  if (options.protocol == LoadProtocol::kGrpc) {
    request.model_name = options.model;
    PARM_ASSIGN_OR_RETURN(wire.head_, GrpcHead(request, wire.sample_bytes_));
  } else {
    PARM_ASSIGN_OR_RETURN(wire.head_,
                          HttpHead(request, options, wire.sample_bytes_));
  }
  return wire;
}

absl::StatusOr<oip::InferResponse> InferWire::Read(ServerReply reply) {
  if (protocol_ == LoadProtocol::kGrpc) {
    google::protobuf::io::ArrayInputStream in(
        reply.body.data(), static_cast<int>(reply.body.size()));
    return oip::ReadInferReply(&in, reply.body.size());
  }
  oip::Body body = oip::BodyOf(std::move(reply.body));
  body.json_bytes = reply.json_bytes;
  return parser_.Parse(body);
}

absl::StatusOr<int> InferWire::PredictedClass(ServerReply reply) {
  PARM_ASSIGN_OR_RETURN(const oip::InferResponse response,
                        Read(std::move(reply)));
  if (response.outputs.empty() ||
      response.outputs[0].spec.datatype != DataType::kFp32) {
    return absl::DataLossError("answer holds no FP32 output");
  }
  const absl::Span<const std::byte> bytes = response.outputs[0].data.bytes();
  row_.resize(bytes.size() / sizeof(float));
  if (!row_.empty()) {
    std::memcpy(row_.data(), bytes.data(), row_.size() * sizeof(float));
  }
  const int best = ArgMax(row_.data(), row_.size());
  if (best < 0) return absl::DataLossError("answer has no largest value");
  return best;
}

}  // namespace parm
