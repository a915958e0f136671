#include "parity_trainer/npy.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "proto/atomic_file.h"
#include "proto/npy_header.h"

namespace parm {

absl::StatusOr<HostTensor> ParseNpy(std::string contents,
                                    absl::string_view file) {
  PARM_ASSIGN_OR_RETURN(NpyHeader header, ParseNpyHeader(contents, file));
  PARM_ASSIGN_OR_RETURN(const int64_t want,
                        NumBytes(header.datatype, header.shape));
  const size_t got = contents.size() - header.size;
  if (got != static_cast<size_t>(want)) {
    return absl::DataLossError(absl::StrCat(
        "byte count differs from the shape ", ShapeToString(header.shape),
        " in ", file, ": got ", got, ", want ", want));
  }
  contents.erase(0, header.size);
  return HostTensor{.datatype = header.datatype,
                    .shape = std::move(header.shape),
                    .bytes = std::move(contents)};
}

absl::StatusOr<HostTensor> ReadNpy(const std::string& path, int64_t max_bytes) {
  PARM_ASSIGN_OR_RETURN(std::string contents, ReadWholeFile(path, max_bytes));
  return ParseNpy(std::move(contents), path);
}

std::string SerializeNpy(const HostTensor& array) {
  return WriteNpyHeader(array.datatype, array.shape) + array.bytes;
}

}  // namespace parm
