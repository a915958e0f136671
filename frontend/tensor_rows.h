#pragma once

// Rows of tensors: dimension 0 is the batch, and a batch of several queries is
// their tensors one after the other on it. The frontend loop joins inputs
// before a dispatch and cuts each query's rows out of the batch's answer.

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/tensor.h"
#include "proto/oip/messages.h"

namespace parm {

/// A view of the whole tensor; good while `tensor` is.
TensorView ViewOf(const oip::Tensor& tensor);

/// Tensors one after the other on dimension 0; one alone is shared, not copied.
/// Needs: at least one part.
/// Errors: kInvalidArgument if datatypes or the other dimensions differ.
absl::StatusOr<oip::Tensor> JoinRows(
    absl::Span<const oip::Tensor* const> parts);

/// Rows [first, first + count), sharing the tensor's bytes.
/// Errors: kInvalidArgument if it has no dimension 0 or fewer rows.
absl::StatusOr<oip::Tensor> SliceRows(const oip::Tensor& tensor, int64_t first,
                                      int64_t count);

/// The bytes of the largest; 0 without tensors.
size_t LargestTensor(absl::Span<const oip::Tensor> tensors);

/// Whether every value is finite; true for types that hold no other.
/// Cost: one pass over FP16, BF16, FP32 and FP64.
bool AllFinite(const oip::Tensor& tensor);

}  // namespace parm
