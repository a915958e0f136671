#include "parity_trainer/query_reader.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "parity_trainer/npy.h"

namespace parm {
namespace {

constexpr int64_t kMaxBytes = int64_t{1} << 32;

absl::StatusOr<std::vector<std::string>> FindFiles(
    const std::string& directory) {
  std::vector<std::string> files;
  std::error_code error;
  std::filesystem::directory_iterator entry(directory, error);
  for (; !error && entry != std::filesystem::directory_iterator();
       entry.increment(error)) {
    if (entry->path().extension() == ".npy") {
      files.push_back(entry->path().string());
    }
  }
  if (error) {
    return absl::NotFoundError(absl::StrCat("cannot read the directory ",
                                            directory, ": ", error.message()));
  }
  if (files.empty()) {
    return absl::NotFoundError(
        absl::StrCat("no .npy file with samples in ", directory));
  }
  std::sort(files.begin(), files.end());
  return files;
}

/// Errors: kInvalidArgument if the array holds no samples, or other ones than
/// those before.
absl::Status Append(const HostTensor& array, const std::string& file,
                    RawSplit* split) {
  if (array.shape.size() < 2 || (array.datatype != DataType::kUint8 &&
                                 array.datatype != DataType::kFp32)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "array holds no samples: got ", DataTypeName(array.datatype),
        ShapeToString(array.shape), ", want UINT8 or FP32 [N,...] in ", file));
  }
  const std::vector<int64_t> sample_shape(array.shape.begin() + 1,
                                          array.shape.end());
  if (split->datatype == DataType::kInvalid) {
    split->datatype = array.datatype;
    split->sample_shape = sample_shape;
  }
  if (array.datatype != split->datatype ||
      sample_shape != split->sample_shape) {
    return absl::InvalidArgumentError(absl::StrCat(
        "samples of one directory differ: got ", DataTypeName(array.datatype),
        ShapeToString(sample_shape), ", want ", DataTypeName(split->datatype),
        ShapeToString(split->sample_shape), " in ", file));
  }
  split->values += array.bytes;
  split->labels.resize(split->labels.size() +
                       static_cast<size_t>(array.shape[0]));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<RawSplit> ReadQueries(const std::string& directory) {
  PARM_ASSIGN_OR_RETURN(const std::vector<std::string> files,
                        FindFiles(directory));
  RawSplit split;
  for (const std::string& file : files) {
    const int64_t left = kMaxBytes - static_cast<int64_t>(split.values.size());
    PARM_ASSIGN_OR_RETURN(const HostTensor array, ReadNpy(file, left));
    PARM_RETURN_IF_ERROR(Append(array, file, &split));
  }
  return split;
}

}  // namespace parm
