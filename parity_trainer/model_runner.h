#pragma once

// Runs a TorchScript model on wire tensors, the way a worker will. The header
// knows no torch, so that what evaluates models need not either.

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/tensor.h"
#include "parity_trainer/dataset.h"
#include "parity_trainer/host_tensor.h"

namespace parm {

/// Threads: one at a time.
class ModelRunner {
 public:
  /// Takes the bytes of a TorchScript file; the model answers in eval mode.
  /// Errors: kInvalidArgument if they are none.
  static absl::StatusOr<ModelRunner> Create(const std::string& model_bytes);

  ModelRunner(ModelRunner&&) noexcept;
  ModelRunner& operator=(ModelRunner&&) noexcept;
  ~ModelRunner();

  /// Shape:  the answer is what the model gives, FP32.
  /// Errors: kInvalidArgument if the model refuses this input, in its own
  ///         words, or answers no single tensor of numbers.
  absl::StatusOr<HostTensor> Run(const HostTensor& input) const;

  /// The model's logits for every sample, [size, classes].
  /// Errors: as Run; kInvalidArgument if the answer is not [batch, classes]
  ///         for every batch; kDataLoss if a logit is not finite.
  absl::StatusOr<HostTensor> RunAll(const Dataset& data, const Split& split,
                                    DataType datatype) const;

 private:
  struct Impl;
  explicit ModelRunner(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Threads for one operator of a model, for the whole process.
void SetNumThreads(int num_threads);

}  // namespace parm
