#pragma once

// Host tensors as torch tensors. Included by files that include torch only.

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "parity_trainer/host_tensor.h"
#include "torch/torch.h"

namespace parm {

/// A torch tensor over the host tensor's bytes, which must outlive it.
/// Errors: kInvalidArgument for a datatype that torch has not.
absl::StatusOr<at::Tensor> ViewAsTorch(const HostTensor& tensor);

/// Copies to FP32 host memory.
/// Errors: kInvalidArgument if it cannot be converted.
absl::StatusOr<HostTensor> ToHost(const at::Tensor& tensor);

/// The first line of a torch error, without its C++ stack.
absl::string_view FirstLine(absl::string_view message);

}  // namespace parm
