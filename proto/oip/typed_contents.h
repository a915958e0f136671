#pragma once

// The elements of one tensor as InferTensorContents has them: a repeated field
// for each kind of datatype. Internal to proto/oip/.

#include <cstdint>

#include "absl/status/statusor.h"
#include "base/buffer.h"
#include "base/tensor.h"

namespace inference {
class InferTensorContents;
}  // namespace inference

namespace parm::oip {

/// False for FP16 and BF16.
bool HasTypedForm(DataType datatype);

/// The bytes of a tensor whose contents must be exactly `num_elements` values
/// in the field of its datatype, within its range.
/// Errors: kInvalidArgument.
absl::StatusOr<Buffer> ReadTypedContents(
    const inference::InferTensorContents& contents, DataType datatype,
    int64_t num_elements);

/// Needs: HasTypedForm(datatype); as many bytes as shape and datatype say.
void WriteTypedContents(DataType datatype, const Buffer& data,
                        inference::InferTensorContents* out);

}  // namespace parm::oip
