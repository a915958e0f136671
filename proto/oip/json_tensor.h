#pragma once

// The `data` of one tensor as JSON: numbers, booleans or strings, flat or
// nested, in row-major order. Internal to proto/oip/.

#include <cstddef>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/buffer.h"
#include "base/json_writer.h"
#include "base/tensor.h"

namespace simdjson::dom {
class element;
}  // namespace simdjson::dom

namespace parm::oip {

struct JsonTensorOptions {
  size_t max_bytes = 0;
  /// Bytes of the JSON document: no tensor in it has more elements.
  size_t json_bytes = 0;
  /// JSON has no NaN or infinity; the writer says null for them. A reader of
  /// replies takes null for NaN, a reader of requests refuses it.
  bool null_is_nan = false;
};

/// Reads `data`, whose leaves must be exactly `num_elements` values within the
/// range of `datatype`. How they are nested is not checked, as other servers do
/// not check it. No memory is taken before num_elements is known to be within
/// the bounds.
/// Errors: kInvalidArgument, naming what was found; FP16 and BF16 have no JSON
/// form.
absl::StatusOr<Buffer> ReadJsonTensor(const simdjson::dom::element& data,
                                      DataType datatype, int64_t num_elements,
                                      const JsonTensorOptions& options);

/// Writes the elements of `tensor` as one flat array.
/// Needs: as many bytes as shape and datatype say.
/// Errors: kInvalidArgument for FP16 and BF16, and for BYTES that are not
/// UTF-8; the writer is then in the middle of an array.
absl::Status WriteJsonTensor(const TensorView& tensor, JsonWriter* writer);

/// Checks that `bytes` are exactly `num_elements` strings, each behind a 4-byte
/// little-endian length.
/// Errors: kInvalidArgument.
absl::Status CheckBytesTensor(absl::Span<const std::byte> bytes,
                              int64_t num_elements);

}  // namespace parm::oip
