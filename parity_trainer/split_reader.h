#pragma once

// Finds the files of a labelled data source, training or test, and reads them
// into one form. dataset.h checks what is in them.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/tensor.h"

namespace parm {

/// Samples and as many labels, unchecked.
struct RawSplit {
  DataType datatype = DataType::kInvalid;
  std::vector<int64_t> sample_shape;
  std::string values;
  std::vector<int64_t> labels;
};

/// `source`: "idx:DIR" or "npy:DIR", as in DatasetOptions.
/// Errors: kInvalidArgument for a source of another form, and for arrays whose
/// types, shapes or counts do not fit together; else as ReadIdx and ReadNpy.
absl::StatusOr<RawSplit> ReadSplit(absl::string_view source, bool train);

}  // namespace parm
