#pragma once

// One tensor of a request or reply: its JSON object, and its raw bytes if it is
// binary. Both directions of both messages share it. Internal to proto/oip/.

#include <cstddef>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/buffer.h"
#include "base/json_writer.h"
#include "proto/oip/body.h"
#include "proto/oip/json_parser.h"
#include "proto/oip/messages.h"

namespace simdjson::dom {
class element;
}  // namespace simdjson::dom

namespace parm::oip {

/// The raw tensors of a body, taken from front to back.
struct BinaryPart {
  const Buffer* storage = nullptr;
  size_t offset = 0;
  size_t end = 0;
};

struct TensorReadOptions {
  CodecLimits limits;
  size_t json_bytes = 0;
  Sender sender = Sender::kClient;
};

/// Reads an object {name, datatype, shape, parameters?, data?}. A binary tensor
/// becomes a slice of the body; its size must be what its shape says.
/// Errors: kInvalidArgument naming the tensor; kUnimplemented for tensors in
/// shared memory.
absl::StatusOr<Tensor> ReadTensor(const simdjson::dom::element& value,
                                  const TensorReadOptions& options,
                                  BinaryPart* binary);

/// Reads an array of such objects. Names are unique; the binary part is used up
/// exactly.
/// Errors: as ReadTensor; kInvalidArgument also for too many tensors, for a
/// repeated name, and for bytes left over.
absl::Status ReadTensors(const simdjson::dom::element& value,
                         const TensorReadOptions& options, BinaryPart* binary,
                         std::vector<Tensor>* out);

/// Writes the object of `tensor`; its bytes go to out->tensors if `binary`,
/// into the JSON else.
/// Errors: kInvalidArgument naming a tensor that has no JSON form.
absl::Status WriteTensor(const Tensor& tensor, bool binary, JsonWriter* writer,
                         EncodedBody* out);

/// Writes a key "parameters" and its object, unless there are none.
void WriteParameters(const Parameters& parameters, JsonWriter* writer);

/// Writes the members of a parameters object.
void WriteParameterFields(const Parameters& parameters, JsonWriter* writer);

/// `status` with "<what> '<name>': " in front.
absl::Status Annotate(const absl::Status& status, absl::string_view what,
                      absl::string_view name);

}  // namespace parm::oip
