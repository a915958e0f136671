#pragma once

// Makes parity queries out of data set samples with the encoder's own function,
// so that a parity model is trained and evaluated on the very tensors that a
// frontend will send it, rounding included.

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "encoder/code.h"
#include "parity_trainer/dataset.h"
#include "parity_trainer/host_tensor.h"

namespace parm {

/// Shape:  `slot_major` holds k * count sample indices: slot 0 of every group,
///         then slot 1, and so on. The result is one parity query whose
///         dimension 0 covers `count` groups.
/// Needs:  slot_major.size() is a multiple of the code's k; `datatype` as for
///         AppendWireSamples.
/// Errors: kInvalidArgument, in the code's words, for samples it cannot code.
absl::StatusOr<HostTensor> EncodeGroups(const Code& code, int parity_index,
                                        const Dataset& data, const Split& split,
                                        absl::Span<const int64_t> slot_major,
                                        DataType datatype);

/// Likewise of members [k * count, ...], slot 0 of every group first.
absl::StatusOr<HostTensor> EncodeMembers(const Code& code, int parity_index,
                                         const HostTensor& slot_major);

/// The chosen samples as one wire tensor [indices, ...].
HostTensor GatherSamples(const Dataset& data, const Split& split,
                         absl::Span<const int64_t> indices, DataType datatype);

}  // namespace parm
