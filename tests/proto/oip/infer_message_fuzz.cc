// Any bytes as a ModelInferRequest and as a ModelInferResponse, in blocks of a
// size that the first byte says. What is accepted must be consistent, and must
// be what protobuf's own parser makes of it. And as header lines: what becomes
// metadata must come back as it was.

#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "base/status_macros.h"
#include "proto/oip/grpc_service.pb.h"
#include "proto/oip/header_metadata.h"
#include "proto/oip/infer_request_message.h"
#include "proto/oip/infer_response_message.h"

namespace {

void CheckInputs(const parm::oip::InferRequest& request,
                 const inference::ModelInferRequest& message) {
  PARM_CHECK(message.inputs_size() == static_cast<int>(request.inputs.size()));
  for (int i = 0; i < message.inputs_size(); ++i) {
    const parm::oip::Tensor& input = request.inputs[static_cast<size_t>(i)];
    PARM_CHECK(message.inputs(i).name() == input.spec.name);
    const auto want = parm::NumBytes(input.spec.datatype, input.spec.shape);
    PARM_CHECK(input.spec.datatype == parm::DataType::kBytes ||
               *want == static_cast<int64_t>(input.data.size()));
    if (!request.binary_outputs) continue;
    const std::string& raw = message.raw_input_contents(i);
    PARM_CHECK(raw.size() == input.data.size());
    PARM_CHECK(raw.empty() || std::memcmp(raw.data(), input.data.bytes().data(),
                                          raw.size()) == 0);
  }
}

void CheckReply(const uint8_t* data, int num_bytes, int block_size) {
  google::protobuf::io::ArrayInputStream in(data, num_bytes, block_size);
  const auto response =
      parm::oip::ReadInferReply(&in, static_cast<size_t>(num_bytes));
  if (!response.ok()) {
    PARM_CHECK(response.status().code() == absl::StatusCode::kDataLoss);
    return;
  }
  inference::ModelInferResponse message;
  PARM_CHECK(message.ParseFromArray(data, num_bytes));
  PARM_CHECK(message.model_version() == response->model_version);
  PARM_CHECK(message.outputs_size() ==
             static_cast<int>(response->outputs.size()));
  for (const parm::oip::Tensor& output : response->outputs) {
    const auto want = parm::NumBytes(output.spec.datatype, output.spec.shape);
    PARM_CHECK(output.spec.datatype == parm::DataType::kBytes ||
               *want == static_cast<int64_t>(output.data.size()));
  }
}

void CheckHeaders(absl::string_view text) {
  const auto metadata = parm::oip::MetadataOf(text);
  std::string headers;
  for (const auto& [name, value] : metadata) {
    parm::oip::AppendMetadata(name, value, &headers);
  }
  PARM_CHECK(parm::oip::MetadataOf(headers) == metadata);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const auto num_bytes = static_cast<int>(size - 1);
  CheckReply(data + 1, num_bytes, data[0] + 1);
  CheckHeaders({reinterpret_cast<const char*>(data + 1), size - 1});
  google::protobuf::io::ArrayInputStream in(data + 1, num_bytes, data[0] + 1);
  const auto request = parm::oip::ReadInferMessage(&in, size - 1);
  if (!request.ok()) {
    PARM_CHECK(!request.status().message().empty());
    return 0;
  }
  inference::ModelInferRequest message;
  PARM_CHECK(message.ParseFromArray(data + 1, num_bytes));
  PARM_CHECK(message.model_name() == request->model_name);
  PARM_CHECK(message.id() == request->id);
  CheckInputs(*request, message);
  return 0;
}
