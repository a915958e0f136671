// Any body of a reply, as infer_request_fuzz has it for requests; and the same
// bytes as model metadata and as an error.

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/status_macros.h"
#include "proto/oip/infer_response_codec.h"
#include "proto/oip/metadata_json.h"

namespace {

using parm::oip::Body;

Body BodyOfInput(const uint8_t* data, size_t size) {
  const size_t length = data[0] + (size_t{data[1]} << 8);
  Body body{.storage = parm::Buffer::CopyOf(absl::MakeConstSpan(
                reinterpret_cast<const std::byte*>(data + 2), size - 2)),
            .size = size - 2};
  if (length != 0xFFFF) body.json_bytes = length;
  return body;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const Body body = BodyOfInput(data, size);
  const auto model = parm::oip::ParseModelMetadata(body);
  if (model.ok()) {
    const std::string json = parm::oip::WriteModelMetadata(*model);
    PARM_CHECK(parm::oip::ParseModelMetadata(parm::oip::BodyOf(json)).ok());
  }
  parm::oip::ParseError(
      absl::string_view(reinterpret_cast<const char*>(data), size));

  parm::oip::InferResponseParser parser;
  const auto response = parser.Parse(body);
  if (!response.ok()) {
    PARM_CHECK(response.status().code() == absl::StatusCode::kDataLoss);
    return 0;
  }
  const auto written = parm::oip::WriteInferResponse(*response, {}, true);
  PARM_CHECK(written.ok());
  const auto again = parser.Parse(parm::oip::Flatten(*written));
  PARM_CHECK(again.ok());
  PARM_CHECK(again->outputs.size() == response->outputs.size());
  for (size_t i = 0; i < response->outputs.size(); ++i) {
    PARM_CHECK(again->outputs[i].data.bytes() ==
               response->outputs[i].data.bytes());
  }
  return 0;
}
