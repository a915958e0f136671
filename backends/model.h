#pragma once

// What a worker needs of a model, whatever runs it: LibTorch in parm-worker, a
// small linear map in the tests' worker. Nothing here knows the wire or torch,
// so that files with torch's headers can include it.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/buffer.h"
#include "base/tensor.h"

namespace parm {

/// A tensor whose bytes are shared, little-endian and row-major. Bytes that
/// come from a socket may lie at any address: read them unaligned, or copy.
struct ModelTensor {
  DataType datatype = DataType::kInvalid;
  std::vector<int64_t> shape;
  Buffer bytes;
};

/// Threads: Run may be called from several lanes at once.
class Model {
 public:
  virtual ~Model() = default;

  /// One forward pass.
  /// Shape:  inputs fit the specs that the model was loaded with, in order;
  ///         outputs come in the order of the output specs.
  /// Errors: any code, with a sentence for the client; the model stays usable.
  virtual absl::StatusOr<std::vector<ModelTensor>> Run(
      absl::Span<const ModelTensor> inputs) const = 0;
};

enum class Device : uint8_t { kCpu, kCuda };

/// What a loader has to know.
struct ModelFile {
  std::string path;
  std::vector<TensorSpec> inputs;  // a dimension of -1 is variable
  std::vector<TensorSpec> outputs;
  Device device = Device::kCpu;
  int intra_op_threads = 1;
};

/// Loads a model file.
/// Errors: kNotFound if it cannot be opened; kDataLoss if it is no model or is
/// cut short; kInvalidArgument if it does not take these inputs;
/// kFailedPrecondition if the device is not there.
using ModelLoader = std::function<absl::StatusOr<std::unique_ptr<const Model>>(
    const ModelFile&)>;

}  // namespace parm
