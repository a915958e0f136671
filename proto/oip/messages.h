#pragma once

// Requests and replies of the Open Inference Protocol as values, whatever the
// transport: the HTTP codec (JSON, binary tensors) fills and writes them.

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/buffer.h"
#include "base/tensor.h"

namespace parm::oip {

/// A named tensor with its bytes (little-endian, row-major; BYTES elements each
/// behind a 4-byte little-endian length).
struct Tensor {
  TensorSpec spec;
  Buffer data;
};

using ParameterValue =
    std::variant<bool, int64_t, uint64_t, double, std::string>;
/// Small, order kept.
using Parameters = std::vector<std::pair<std::string, ParameterValue>>;

struct RequestedOutput {
  std::string name;
  bool binary = false;
  Parameters parameters;  // without binary_data
};

/// What a client says beside its tensors, for a server that is to hear it too.
struct RequestContext {
  std::string id;
  Parameters parameters;
  /// End-to-end headers, each "Name: value" with its CRLF; what concerns one
  /// connection or body alone is not among them.
  std::string headers;
};

struct InferRequest {
  std::string model_name;
  std::string model_version;
  std::string id;
  Parameters parameters;  // without binary_data_output
  std::vector<Tensor> inputs;
  std::vector<RequestedOutput> outputs;  // empty: all
  bool binary_outputs = false;           // binary_data_output
  std::string headers;                   // as RequestContext
  /// One of a stream that has had replies: what the headers say of attempts was
  /// said when the stream was opened, of others.
  bool late_in_stream = false;
};

struct InferResponse {
  std::string model_name;
  std::string model_version;
  std::string id;
  Parameters parameters;
  std::vector<Tensor> outputs;
};

/// What a server says a model looks like.
struct ModelMetadata {
  std::string name;
  std::vector<std::string> versions;
  std::string platform;
  std::vector<TensorSpec> inputs;  // -1: variable; dimension 0 is the batch
  std::vector<TensorSpec> outputs;
  uint32_t max_batch_size = 0;  // as the model's config states it
};

}  // namespace parm::oip
