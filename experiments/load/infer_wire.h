#pragma once

// What the load generator writes and reads: Open Inference Protocol requests of
// one image or several, binary or in JSON over HTTP, or over gRPC; and the
// classes that an answer names.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
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
    bool json = false;        // tensors as JSON numbers, both ways
    std::string host_header;  // "127.0.0.1:8000"
    std::string model;
    std::string input;        // empty: the model's only one
    int64_t deadline_us = 0;  // sent as parm_deadline_us; 0: not sent
    std::string mode;         // sent as parm_mode; empty: not sent
    /// How many images a query may hold; not empty.
    std::vector<size_t> batch_sizes = {1};
  };

  /// Lays out the images as the model's metadata asks: UINT8 as they are, FP32
  /// as the raw pixel values 0..255 (normalisation lives inside the model).
  /// Errors: kInvalidArgument if the model has several inputs and none is
  /// named, another datatype, a shape that does not hold one image, or none of
  /// several that are asked for; for batches that are larger than the data set;
  /// for JSON over gRPC, or of more than one image.
  static absl::StatusOr<InferWire> Create(const Options& options,
                                          const oip::ModelMetadata& model,
                                          const TestData& data);

  /// What stands before the tensor, the same for all queries of so many images:
  /// request line and headers, of a binary request the JSON part too; over gRPC
  /// the message but for its last bytes.
  /// Needs: `images` is one of batch_sizes.
  absl::string_view head(size_t images = 1) const { return heads_[images]; }
  /// The tensor of `images` from image `first` on; after the last one comes the
  /// first. Of JSON the whole body, filled up with spaces to one length.
  absl::string_view body(size_t first, size_t images = 1) const {
    return absl::string_view(bodies_).substr(first * image_bytes_,
                                             images * image_bytes_);
  }

  /// For each image the class with the largest value of the first output. Valid
  /// until the next call.
  /// Errors: kDataLoss for whatever is not a reply with `images` FP32 rows each
  /// of which has a largest value.
  absl::StatusOr<absl::Span<const int>> PredictedClasses(ServerReply reply,
                                                         size_t images = 1);

 private:
  InferWire() = default;
  absl::Status LayOutJson(const Options& options, oip::InferRequest request,
                          size_t num_images);
  absl::Status LayOutBinary(const Options& options, oip::InferRequest request);
  absl::StatusOr<oip::InferResponse> Read(ServerReply reply);

  LoadProtocol protocol_ = LoadProtocol::kHttp;
  std::vector<std::string> heads_;  // by number of images
  std::string bodies_;
  size_t image_bytes_ = 0;
  oip::InferResponseParser parser_;
  std::vector<float> rows_;
  std::vector<int> classes_;
};

}  // namespace parm
