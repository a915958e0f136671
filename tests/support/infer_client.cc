#include "tests/support/infer_client.h"

#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "proto/oip/infer_request_codec.h"
#include "proto/oip/infer_response_codec.h"

namespace parm {
namespace {

std::string Header(const InferAnswer& answer, const std::string& name) {
  const auto found = answer.headers.find(name);
  return found == answer.headers.end() ? "" : found->second;
}

std::string TextOf(const oip::Body& body) {
  return {reinterpret_cast<const char*>(body.storage.bytes().data()),
          body.size};
}

}  // namespace

void InferClient::Send(const std::string& model,
                       const std::vector<float>& values,
                       const oip::Parameters& parameters, int64_t rows) {
  Send(model,
       {.spec = {.name = "x",
                 .datatype = DataType::kFp32,
                 .shape = {rows, static_cast<int64_t>(values.size()) / rows}},
        .data =
            Buffer::CopyOf({reinterpret_cast<const std::byte*>(values.data()),
                            values.size() * sizeof(float)})},
       parameters);
}

void InferClient::Send(const std::string& model, oip::Tensor input,
                       const oip::Parameters& parameters) {
  oip::InferRequest request;
  request.parameters = parameters;
  request.binary_outputs = true;
  request.inputs.push_back(std::move(input));
  const absl::StatusOr<oip::EncodedBody> encoded =
      oip::WriteInferRequest(request, /*binary_inputs=*/true);
  PARM_CHECK(encoded.ok());
  http_.Send(absl::StrCat(
      "POST /v2/models/", model,
      "/infer HTTP/1.1\r\nHost: test\r\nContent-Length: ",
      encoded->TotalBytes(), "\r\nInference-Header-Content-Length: ",
      encoded->json.size(), "\r\n\r\n", TextOf(oip::Flatten(*encoded))));
}

InferAnswer InferClient::Receive() {
  const RawReply reply = http_.ReadReply();
  InferAnswer answer{.status = reply.status, .headers = reply.headers};
  answer.source = Header(answer, "x-parm-source");
  if (answer.status != 200) {
    answer.error = reply.body;
    return answer;
  }
  oip::Body body = oip::BodyOf(reply.body);
  const std::string json_bytes =
      Header(answer, "inference-header-content-length");
  if (!json_bytes.empty()) {
    body.json_bytes = std::strtoul(json_bytes.c_str(), nullptr, 10);
  }
  const absl::StatusOr<oip::InferResponse> response =
      oip::InferResponseParser().Parse(body);
  PARM_CHECK(response.ok() && !response->outputs.empty());
  const Buffer& data = response->outputs[0].data;
  answer.values.resize(data.size() / sizeof(float));
  if (!data.empty()) {
    std::memcpy(answer.values.data(), data.bytes().data(), data.size());
  }
  return answer;
}

InferAnswer InferClient::Infer(const std::string& model,
                               const std::vector<float>& values,
                               const oip::Parameters& parameters,
                               int64_t rows) {
  Send(model, values, parameters, rows);
  return Receive();
}

RawReply InferClient::Get(const std::string& path) {
  return http_.Ask(
      absl::StrCat("GET ", path, " HTTP/1.1\r\nHost: test\r\n\r\n"));
}

double MetricValue(const std::string& metrics, const std::string& name) {
  const std::string line = absl::StrCat("\n", name, " ");
  const size_t found = metrics.find(line);
  if (found == std::string::npos) return -1;
  return std::strtod(metrics.c_str() + found + line.size(), nullptr);
}

}  // namespace parm
