#pragma once

// NumPy's .npy files, bounded: arrays in C order with little-endian numbers.
// Training data and probe tensors come and go in this format.

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "parity_trainer/host_tensor.h"

namespace parm {

/// `file` is used in messages only.
/// Errors: kInvalidArgument if it is no .npy file of version 1 to 3, is in
/// Fortran order, or holds big-endian or structured elements; kDataLoss if the
/// bytes do not add up to the shape.
absl::StatusOr<HostTensor> ParseNpy(std::string contents,
                                    absl::string_view file);

/// Errors: as ParseNpy; kNotFound; kInvalidArgument above `max_bytes`.
absl::StatusOr<HostTensor> ReadNpy(const std::string& path, int64_t max_bytes);

/// The array as a .npy file of version 1.
/// Needs: bytes.size() fits datatype and shape; rank <= 16.
std::string SerializeNpy(const HostTensor& array);

}  // namespace parm
