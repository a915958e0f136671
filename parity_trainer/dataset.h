#pragma once

// Samples in memory, read from IDX files or .npy arrays and checked once, so
// that no later step meets a bad label or a NaN. What the trainer learns from
// and what accuracies are measured on.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/tensor.h"

namespace parm {

/// Samples of one datatype and shape, with their labels.
struct Split {
  std::string values;  // size() samples, row-major
  std::vector<int32_t> labels;

  int64_t size() const { return static_cast<int64_t>(labels.size()); }
};

struct Dataset {
  std::string source;                      // as on the command line
  DataType datatype = DataType::kInvalid;  // kUint8 or kFp32
  std::vector<int64_t> sample_shape;       // without the batch, e.g. [1,28,28]
  int64_t num_classes = 0;
  /// False: labels are 0, until the deployed model's answers take their place
  /// (LoadDataFor).
  bool labelled = true;
  Split train;  // empty unless asked for
  Split test;
};

struct DatasetOptions {
  /// "idx:DIR" holds {train,t10k}-{images-idx3,labels-idx1}-ubyte[.gz];
  /// "npy:DIR" holds {train,test}_{x,y}.npy, x UINT8 or FP32 [N, ...], y any
  /// integers [N]; "queries:DIR" holds unlabelled samples in any .npy files,
  /// x as before. Their last fifth is the test set: sent last, where a frontend
  /// captured them.
  std::string source;
  bool with_train = true;
  /// Only the first so many samples; 0: all.
  int64_t limit_train = 0;
  int64_t limit_test = 0;
  /// Labels must lie below it. 0: one more than the greatest label, and every
  /// smaller one must occur, since a gap is what a damaged label looks like.
  int64_t num_classes = 0;
};

/// Pictures of IDX files get a channel dimension of 1.
/// Errors: kInvalidArgument for a source of another form, arrays whose types,
/// shapes or counts do not fit together, a label out of range, a value that is
/// not finite, or no sample at all; kNotFound, kDataLoss as the file readers.
absl::StatusOr<Dataset> LoadDataset(const DatasetOptions& options);

/// Appends the chosen samples as the wire carries them: converted to
/// `datatype`, one after the other.
/// Needs: indices lie in the split; datatype is the data's own or FP32.
void AppendWireSamples(const Dataset& data, const Split& split,
                       absl::Span<const int64_t> indices, DataType datatype,
                       std::string* out);

}  // namespace parm
