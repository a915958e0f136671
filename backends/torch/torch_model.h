#pragma once

// A TorchScript file as a Model. Only torch_model.cc sees torch's headers: they
// cost seconds per file, and ship a protobuf of their own that must not meet
// our messages.

#include <memory>

#include "absl/status/statusor.h"
#include "backends/model.h"

namespace parm {

/// A ModelLoader. The module is put in eval mode; inputs on the CPU are read
/// where they lie. FP16, BF16, FP32, FP64, BOOL, UINT8, INT8, INT16, INT32 and
/// INT64 tensors are taken; a tuple or list of tensors is several outputs.
/// Errors: kNotFound if the file cannot be opened; kDataLoss if it is not
///         TorchScript or is cut short; kInvalidArgument for a datatype that
///         torch does not have; kFailedPrecondition if CUDA is asked for and
///         is not there.
absl::StatusOr<std::unique_ptr<const Model>> LoadTorchModel(
    const ModelFile& file);

}  // namespace parm
