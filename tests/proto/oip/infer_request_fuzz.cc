// Any body of an inference request: the first two bytes are the length header
// (0xFFFF: none), the rest is the body. What is accepted must be consistent,
// and must read the same once it is written again.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "base/status_macros.h"
#include "proto/oip/infer_request_codec.h"

namespace {

using parm::oip::Body;
using parm::oip::InferRequest;

Body BodyOfInput(const uint8_t* data, size_t size) {
  const size_t length = data[0] + (size_t{data[1]} << 8);
  Body body{.storage = parm::Buffer::CopyOf(absl::MakeConstSpan(
                reinterpret_cast<const std::byte*>(data + 2), size - 2)),
            .size = size - 2};
  if (length != 0xFFFF) body.json_bytes = length;
  return body;
}

void CheckTensors(const InferRequest& request) {
  for (const parm::oip::Tensor& input : request.inputs) {
    const auto want = parm::NumBytes(input.spec.datatype, input.spec.shape);
    PARM_CHECK(input.spec.datatype == parm::DataType::kBytes ||
               *want == static_cast<int64_t>(input.data.size()));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const Body body = BodyOfInput(data, size);
  parm::oip::InferRequestParser parser;
  const auto request = parser.Parse(body);
  if (!request.ok()) {
    PARM_CHECK(!request.status().message().empty());
    return 0;
  }
  CheckTensors(*request);
  const auto written = parm::oip::WriteInferRequest(*request, true);
  PARM_CHECK(written.ok());
  const auto again = parser.Parse(parm::oip::Flatten(*written));
  PARM_CHECK(again.ok());
  PARM_CHECK(again->id == request->id);
  PARM_CHECK(again->inputs.size() == request->inputs.size());
  for (size_t i = 0; i < request->inputs.size(); ++i) {
    PARM_CHECK(again->inputs[i].spec == request->inputs[i].spec);
    PARM_CHECK(again->inputs[i].data.bytes() ==
               request->inputs[i].data.bytes());
  }
  return 0;
}
