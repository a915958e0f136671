#pragma once

// Takes an infer message (grpc_service.proto) apart while it is read: its raw
// tensors into buffers of their own, the rest for protobuf. Requests and
// replies alike; internal to proto/oip/.

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/buffer.h"
#include "proto/oip/body.h"

namespace google::protobuf::io {
class ZeroCopyInputStream;
}  // namespace google::protobuf::io

namespace parm::oip {

struct SplitMessage {
  std::string head;  // the fields before the raw tensors', as they came
  std::vector<Buffer> raw;
};

/// Reads all `size` bytes of `in`. Fields above `raw_field` are skipped.
/// Errors: kInvalidArgument if it is no message or has too many raw tensors.
absl::StatusOr<SplitMessage> SplitInferMessage(
    google::protobuf::io::ZeroCopyInputStream* in, size_t size, int raw_field,
    const CodecLimits& limits);

}  // namespace parm::oip
