#pragma once

// Reads IDX files, the format of MNIST and Fashion-MNIST: four magic bytes,
// big-endian dimensions, then unsigned bytes. gzip or plain. Where training
// data enter the trainer.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace parm {

struct IdxArray {
  std::vector<int64_t> shape;
  std::string values;  // one byte per element, row-major
};

/// Errors: kNotFound if there is no such file; kDataLoss if it is truncated,
/// has bytes left over, or its gzip stream is damaged; kInvalidArgument if it
/// is no IDX file of unsigned bytes with 1 to 4 dimensions, or announces more
/// than `max_bytes`, which is checked before anything is allocated.
absl::StatusOr<IdxArray> ReadIdx(const std::string& path, int64_t max_bytes);

}  // namespace parm
