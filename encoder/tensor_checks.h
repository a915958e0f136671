#pragma once

// What every code refuses before it touches a byte, worded the same way
// everywhere. Nothing here allocates unless it fails.

#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "base/tensor.h"
#include "encoder/code.h"

namespace parm {

/// Errors: kInvalidArgument if num_members is outside 1..k.
absl::Status CheckNumMembers(int k, int num_members);

/// Errors: kInvalidArgument if the shape lacks a batch dimension, has a
///         dimension below -1 (-1: variable), or is too large to count.
absl::Status CheckBatchShape(const TensorSpec& spec);

/// Errors: kInvalidArgument unless these are FP32 outputs, batch first.
absl::Status CheckOutputSpec(const TensorSpec& member_output);

/// Errors: kInvalidArgument unless these are 1..k tensors of one datatype of
///         fixed size and one shape, each with as many bytes as that takes, and
///         parity_index is within 0..r-1.
absl::Status CheckEncodeCall(const CodeSpec& spec, int parity_index,
                             absl::Span<const TensorView> members);

/// Whether a parity to write is `want_batch` samples of the members' kind.
/// Errors: kInvalidArgument if not.
absl::Status CheckParity(const TensorView& member, int64_t want_batch,
                         const MutableTensorView& parity);

/// Whether a parity to write is of the members' kind, but with k times their
/// first axis after the batch. Needs: CheckEncodeCall; two axes or more.
/// Errors: kInvalidArgument if not.
absl::Status CheckStacked(const TensorView& member, int k,
                          const MutableTensorView& parity);

/// Errors: kInvalidArgument unless num_members is within 1..k, there are k + r
///         output slots, 0 <= lost < num_members, and result is FP32, has a
///         batch dimension and as many bytes as its shape takes.
absl::Status CheckDecodeCall(int k, int r, int num_members, size_t num_slots,
                             int lost, const MutableTensorView& result);

/// Errors: kInvalidArgument unless `output`, which came in `slot`, is FP32, has
///         this shape and this many bytes.
absl::Status CheckOutput(const TensorView& output, int slot,
                         absl::Span<const int64_t> want_shape,
                         size_t want_bytes);

/// The slots that hold an output. Needs: outputs.size() <= 32.
ArrivalMask ArrivedMask(absl::Span<const std::optional<TensorView>> outputs);

/// kFailedPrecondition, saying what arrived.
absl::Status NotEnoughOutputs(int num_members, ArrivalMask arrived, int lost);

/// kDataLoss.
absl::Status NotFinite(int lost);

}  // namespace parm
