#include "experiments/load/infer_wire.h"

#include <algorithm>
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

absl::Status CheckBatches(const InferWire::Options& options,
                          const TensorSpec& input, const TestData& data) {
  const size_t largest =
      *std::max_element(options.batch_sizes.begin(), options.batch_sizes.end());
  if (options.json &&
      (options.protocol == LoadProtocol::kGrpc || largest > 1)) {
    return absl::InvalidArgumentError("JSON goes over HTTP, one image a query");
  }
  if (largest == 1) return absl::OkStatus();
  if (input.shape.empty() || input.shape[0] != -1) {
    return absl::InvalidArgumentError(
        absl::StrCat("model takes one image at a time: input ", input.name,
                     " is ", ShapeToString(input.shape), ", want ", largest));
  }
  if (largest > static_cast<size_t>(data.num_samples)) {
    return absl::InvalidArgumentError(
        absl::StrCat("batch is larger than the data set: got ", largest, " of ",
                     data.num_samples));
  }
  return absl::OkStatus();
}

/// Of all images, one after the other.
absl::StatusOr<std::string> PixelTensors(const TensorSpec& input,
                                         const TestData& data) {
  const size_t num_pixels = data.pixels.size();
  std::string tensors;
  if (input.datatype == DataType::kUint8) {
    tensors.assign(data.pixels.begin(), data.pixels.end());
  } else if (input.datatype == DataType::kFp32) {
    tensors.resize(num_pixels * sizeof(float));
    for (size_t i = 0; i < num_pixels; ++i) {
      const auto value = static_cast<float>(data.pixels[i]);
      std::memcpy(tensors.data() + i * sizeof(float), &value, sizeof(float));
    }
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("images go as UINT8 or FP32: input ", input.name, " is ",
                     DataTypeName(input.datatype)));
  }
  return tensors;
}

std::string RequestLine(const InferWire::Options& options) {
  return absl::StrCat("POST /v2/models/", options.model,
                      "/infer HTTP/1.1\r\nHost: ", options.host_header,
                      "\r\nContent-Type: ");
}

absl::StatusOr<std::string> HttpHead(const oip::InferRequest& request,
                                     const InferWire::Options& options,
                                     size_t tensor_bytes) {
  PARM_ASSIGN_OR_RETURN(
      const oip::EncodedBody encoded,
      oip::WriteInferRequest(request, /*binary_inputs=*/true));
  return absl::StrCat(
      RequestLine(options), "application/octet-stream",
      "\r\nInference-Header-Content-Length: ", encoded.json.size(),
      "\r\nContent-Length: ", encoded.json.size() + tensor_bytes, "\r\n\r\n",
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
  PARM_RETURN_IF_ERROR(CheckBatches(options, input, data));
  PARM_ASSIGN_OR_RETURN(input.shape, ShapeOfOneImage(input, data));
  InferWire wire;
  wire.protocol_ = options.protocol;
  PARM_ASSIGN_OR_RETURN(wire.bodies_, PixelTensors(input, data));
  const auto num_images = static_cast<size_t>(data.num_samples);
  wire.image_bytes_ = wire.bodies_.size() / num_images;

  oip::InferRequest request;
  if (options.deadline_us > 0) {
    request.parameters.emplace_back("parm_deadline_us", options.deadline_us);
  }
  if (!options.mode.empty()) {
    request.parameters.emplace_back("parm_mode", options.mode);
  }
  request.inputs.push_back({.spec = input});
  PARM_RETURN_IF_ERROR(
      options.json ? wire.LayOutJson(options, std::move(request), num_images)
                   : wire.LayOutBinary(options, std::move(request)));
  return wire;
}

absl::Status InferWire::LayOutBinary(const Options& options,
                                     oip::InferRequest request) {
  request.binary_outputs = true;
  const bool grpc = options.protocol == LoadProtocol::kGrpc;
  if (grpc) request.model_name = options.model;
  const size_t largest =
      *std::max_element(options.batch_sizes.begin(), options.batch_sizes.end());
  bodies_.append(bodies_, 0, (largest - 1) * image_bytes_);
  heads_.resize(largest + 1);
  oip::Tensor& input = request.inputs.front();
  for (const size_t images : options.batch_sizes) {
    if (largest > 1) input.spec.shape[0] = static_cast<int64_t>(images);
    input.data = Buffer::FromString(std::string(body(0, images)));
    const size_t tensor_bytes = images * image_bytes_;
    PARM_ASSIGN_OR_RETURN(heads_[images],
                          grpc ? GrpcHead(request, tensor_bytes)
                               : HttpHead(request, options, tensor_bytes));
  }
  return absl::OkStatus();
}

// White space behind a JSON document means nothing: so one head does for all.
absl::Status InferWire::LayOutJson(const Options& options,
                                   oip::InferRequest request,
                                   size_t num_images) {
  std::vector<std::string> documents;
  size_t longest = 0;
  for (size_t i = 0; i < num_images; ++i) {
    request.inputs.front().data = Buffer::FromString(std::string(body(i)));
    PARM_ASSIGN_OR_RETURN(
        oip::EncodedBody encoded,
        oip::WriteInferRequest(request, /*binary_inputs=*/false));
    longest = std::max(longest, encoded.json.size());
    documents.push_back(std::move(encoded.json));
  }
  image_bytes_ = longest;
  bodies_.clear();
  bodies_.reserve(num_images * longest);
  for (std::string& document : documents) {
    document.resize(longest, ' ');
    bodies_ += document;
  }
  heads_ = {"", absl::StrCat(RequestLine(options),
                             "application/json\r\nContent-Length: ", longest,
                             "\r\n\r\n")};
  return absl::OkStatus();
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

absl::StatusOr<absl::Span<const int>> InferWire::PredictedClasses(
    ServerReply reply, size_t images) {
  PARM_ASSIGN_OR_RETURN(const oip::InferResponse response,
                        Read(std::move(reply)));
  if (response.outputs.empty() ||
      response.outputs[0].spec.datatype != DataType::kFp32) {
    return absl::DataLossError("answer holds no FP32 output");
  }
  const oip::Tensor& output = response.outputs[0];
  const absl::Span<const std::byte> bytes = output.data.bytes();
  rows_.resize(bytes.size() / sizeof(float));
  if (!rows_.empty()) {
    std::memcpy(rows_.data(), bytes.data(), rows_.size() * sizeof(float));
  }
  if (images > 1 && (output.spec.shape.empty() ||
                     output.spec.shape[0] != static_cast<int64_t>(images))) {
    return absl::DataLossError(
        absl::StrCat("answer is of another number of images: got ",
                     ShapeToString(output.spec.shape), ", want ", images));
  }
  const size_t num_classes = rows_.size() / images;
  classes_.clear();
  for (size_t i = 0; i < images; ++i) {
    const int best = ArgMax(rows_.data() + i * num_classes, num_classes);
    if (best < 0) return absl::DataLossError("answer has no largest value");
    classes_.push_back(best);
  }
  return absl::MakeConstSpan(classes_);
}

}  // namespace parm
