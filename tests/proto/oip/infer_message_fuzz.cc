// Any bytes as a ModelInferRequest, in blocks of a size that the first byte
// says. What is accepted must be consistent, and must be what protobuf's own
// parser makes of it.

#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/status_macros.h"
#include "proto/oip/grpc_service.pb.h"
#include "proto/oip/infer_request_message.h"

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

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const auto num_bytes = static_cast<int>(size - 1);
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
