#pragma once

// What the load generator writes and reads: one binary Open Inference Protocol
// request per image, for HTTP or gRPC, and the class that an answer names.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "experiments/load/load_client.h"
#include "experiments/load/test_data.h"
#include "proto/oip/infer_response_codec.h"
#include "proto/oip/messages.h"

namespace parm {

/// Threads: owned by one.
class InferWire {
 public:
  struct Options {
    LoadProtocol protocol = LoadProtocol::kHttp;
    std::string host_header;  // "127.0.0.1:8000"
    std::string model;
    std::string input;        // empty: the model's only one
    int64_t deadline_us = 0;  // sent as parm_deadline_us; 0: not sent
    std::string mode;         // sent as parm_mode; empty: not sent
  };

  /// Lays out the images as the model's metadata asks: UINT8 as they are, FP32
  /// as the raw pixel values 0..255 (normalisation lives inside the model).
  /// Errors: kInvalidArgument if the model has several inputs and none is
  /// named, another datatype, or a shape that does not hold one image.
  static absl::StatusOr<InferWire> Create(const Options& options,
                                          const oip::ModelMetadata& model,
                                          const TestData& data);

  /// What stands before the tensor, the same for every image: request line,
  /// headers and the JSON part; over gRPC the message but for its last bytes.
  absl::string_view head() const { return head_; }
  /// The tensor of one image.
  absl::string_view body(size_t sample) const {
    return absl::string_view(tensors_).substr(sample * sample_bytes_,
                                              sample_bytes_);
  }

  /// The class with the largest value of the first output.
  /// Errors: kDataLoss for whatever is not a reply with one FP32 row that has
  /// a largest value.
  absl::StatusOr<int> PredictedClass(ServerReply reply);

 private:
  InferWire() = default;
  absl::StatusOr<oip::InferResponse> Read(ServerReply reply);

  LoadProtocol protocol_ = LoadProtocol::kHttp;
  std::string head_;
  std::string tensors_;
  size_t sample_bytes_ = 0;
  oip::InferResponseParser parser_;
  std::vector<float> row_;
};

}  // namespace parm
