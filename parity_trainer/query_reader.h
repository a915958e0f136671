#pragma once

// Reads unlabelled samples: the .npy files of a directory, such as a frontend's
// captured queries. dataset.h checks what is in them.

#include <string>

#include "absl/status/statusor.h"
#include "parity_trainer/split_reader.h"

namespace parm {

/// All rows of all .npy files of `directory`, in the order of their names; the
/// labels are 0. A file that is being written has another ending.
/// Limits: 4 GiB of samples.
/// Errors: kNotFound if the directory is not there or holds no such file;
/// kInvalidArgument for arrays that are not UINT8 or FP32 [N, ...], or that
/// differ; else as ReadNpy.
absl::StatusOr<RawSplit> ReadQueries(const std::string& directory);

}  // namespace parm
