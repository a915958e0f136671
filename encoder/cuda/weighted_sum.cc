#include "encoder/cuda/weighted_sum.h"

#include <cuda_runtime_api.h>

#include "absl/strings/str_cat.h"
#include "encoder/cuda/weighted_sum_kernel.h"
#include "encoder/kernels.h"

namespace parm::cuda {

absl::StatusOr<int> NumDevices() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess && count > 0) return count;
  return absl::UnavailableError(absl::StrCat(
      "no CUDA device: ",
      error == cudaSuccess ? "none found" : cudaGetErrorString(error)));
}

absl::Status WeightedSum(absl::Span<const float> weights,
                         absl::Span<const float* const> inputs, size_t count,
                         float* out, int* not_finite) {
  if (inputs.empty() || inputs.size() > kMaxKernelInputs ||
      weights.size() != inputs.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "number of inputs is out of range: got ", inputs.size(), " inputs, ",
        weights.size(), " weights, want 1..", kMaxKernelInputs, " of each"));
  }
  if (count == 0) return absl::OkStatus();
  const auto error = static_cast<cudaError_t>(LaunchWeightedSum(
      weights.data(), inputs.data(), static_cast<int>(inputs.size()), count,
      out, not_finite));
  if (error == cudaSuccess) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(
      "a CUDA kernel cannot be launched: ", cudaGetErrorString(error)));
}

}  // namespace parm::cuda
