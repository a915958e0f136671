#pragma once

// What infer requests and replies (grpc_service.proto) have alike: parameters
// and tensors, messages to values and back. Internal to proto/oip/.

#include <google/protobuf/map.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/buffer.h"
#include "base/tensor.h"
#include "proto/oip/body.h"
#include "proto/oip/grpc_service.pb.h"
#include "proto/oip/messages.h"

namespace parm::oip {

using ProtoParameters =
    google::protobuf::Map<std::string, inference::InferParameter>;

absl::Status CheckName(absl::string_view what, const std::string& name,
                       const CodecLimits& limits);

/// Errors: kInvalidArgument for too many, too long ones, or one without a
/// value.
absl::StatusOr<Parameters> ReadParameters(const ProtoParameters& from,
                                          const CodecLimits& limits);

void WriteParameters(const Parameters& from, ProtoParameters* out);

/// Name, datatype and shape, of a tensor or of metadata.
/// Errors: kInvalidArgument.
template <typename TensorMessage>
absl::Status ReadSpec(const TensorMessage& from, const CodecLimits& limits,
                      TensorSpec* out);

/// A tensor of either kind of message. `raw`: its bytes; null if they are in
/// its contents.
/// Errors: kInvalidArgument if datatype, shape and bytes do not fit.
template <typename TensorMessage>
absl::StatusOr<Tensor> ReadTensorMessage(const TensorMessage& from, Buffer* raw,
                                         const CodecLimits& limits);

/// Name, datatype and shape.
template <typename TensorMessage>
void WriteSpec(const TensorSpec& spec, TensorMessage* out) {
  out->set_name(spec.name);
  const absl::string_view datatype = DataTypeName(spec.datatype);
  out->set_datatype(datatype.data(), datatype.size());
  out->mutable_shape()->Add(spec.shape.begin(), spec.shape.end());
}

extern template absl::Status ReadSpec(
    const inference::ModelMetadataResponse::TensorMetadata&, const CodecLimits&,
    TensorSpec*);
extern template absl::StatusOr<Tensor> ReadTensorMessage(
    const inference::ModelInferRequest::InferInputTensor&, Buffer*,
    const CodecLimits&);
extern template absl::StatusOr<Tensor> ReadTensorMessage(
    const inference::ModelInferResponse::InferOutputTensor&, Buffer*,
    const CodecLimits&);

}  // namespace parm::oip
