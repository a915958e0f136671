#pragma once

// A bundle that this worker serves: its manifest, its loaded and warmed-up
// model, its pace. Says whether the inputs of a task fit, and runs the model.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "backends/model.h"
#include "backends/pacing.h"
#include "base/buffer.h"
#include "proto/bundle.h"

namespace parm {

/// Threads: const methods, any thread.
class ServedBundle {
 public:
  struct Options {
    std::optional<PaceOptions> pace;
    Device device = Device::kCpu;
    int intra_op_threads = 1;
  };

  /// Loads the model and runs it on zeros at each batch size that it will
  /// meet (1, and k for a parity bundle), a few times: the first forwards of a
  /// TorchScript file take milliseconds.
  /// Errors: as the loader; kInvalidArgument if the answers on zeros are not
  /// of the shapes and datatypes that the manifest names.
  static absl::StatusOr<std::unique_ptr<ServedBundle>> Create(
      Bundle bundle, const ModelLoader& load_model, const Options& options);

  /// Runs the model as Create did, on the calling thread.
  /// Errors: as Create's.
  absl::Status WarmUp() const;

  /// Puts the tensors of a task in the order of the manifest.
  /// Needs:  bytes[i].size() fits specs[i].
  /// Errors: kInvalidArgument if count, names, datatypes or shapes differ from
  ///         the manifest's, or batch sizes from each other.
  absl::StatusOr<std::vector<ModelTensor>> ArrangeInputs(
      absl::Span<const TensorSpec> specs, absl::Span<const Buffer> bytes) const;

  /// Runs the model.
  /// Needs:  inputs from ArrangeInputs.
  /// Errors: as Model::Run; kInternal if the outputs do not fit the manifest.
  absl::StatusOr<std::vector<ModelTensor>> Run(
      absl::Span<const ModelTensor> inputs) const;

  /// Samples in one task; 1 if the bundle has no batch dimension.
  int64_t BatchSize(absl::Span<const ModelTensor> inputs) const;

  const Bundle& bundle() const { return bundle_; }
  const std::vector<TensorSpec>& inputs() const { return inputs_; }
  const std::vector<TensorSpec>& outputs() const { return outputs_; }
  const std::optional<PaceOptions>& pace() const { return pace_; }

 private:
  ServedBundle(Bundle bundle, const Options& options);
  absl::Status CheckOutputs(absl::Span<const ModelTensor> outputs,
                            int64_t batch_size) const;

  const Bundle bundle_;
  const std::vector<TensorSpec> inputs_;
  const std::vector<TensorSpec> outputs_;
  const std::optional<PaceOptions> pace_;
  std::unique_ptr<const Model> model_;
};

}  // namespace parm
