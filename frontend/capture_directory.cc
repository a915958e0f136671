#include "frontend/capture_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "proto/atomic_file.h"
#include "proto/npy_header.h"

namespace parm {
namespace {

constexpr absl::string_view kPrefix = "queries-";
constexpr absl::string_view kSuffix = ".npy";

std::string PartName(uint32_t number) {
  return absl::StrFormat("%s%06d%s", kPrefix, number, kSuffix);
}

/// The number in "queries-000012.npy"; 0 if it is another file's name.
uint32_t PartNumber(absl::string_view name) {
  uint32_t number = 0;
  if (!absl::ConsumePrefix(&name, kPrefix) ||
      !absl::ConsumeSuffix(&name, kSuffix) || name.size() != 6 ||
      !absl::SimpleAtoi(name, &number)) {
    return 0;
  }
  return number;
}

}  // namespace

absl::StatusOr<std::string> CheckCaptureDirectory(const std::string& path) {
  std::error_code error;
  const std::filesystem::path canonical =
      std::filesystem::canonical(path, error);
  if (error) {
    return absl::InvalidArgumentError(
        absl::StrCat("capture directory: ", error.message(), ": ", path));
  }
  if (!std::filesystem::is_directory(canonical, error)) {
    return absl::InvalidArgumentError(
        absl::StrCat("capture directory is no directory: ", path));
  }
  if (::access(canonical.c_str(), R_OK | W_OK | X_OK) != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "capture directory cannot be read and written: ", std::strerror(errno),
        ": ", path));
  }
  return canonical.string();
}

absl::StatusOr<std::unique_ptr<CaptureDirectory>> CaptureDirectory::Open(
    const std::string& path) {
  PARM_ASSIGN_OR_RETURN(std::string canonical, CheckCaptureDirectory(path));
  const int lock =
      ::open(canonical.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock < 0) {
    return absl::UnavailableError(absl::StrCat(
        "cannot open capture directory ", path, ": ", std::strerror(errno)));
  }
  auto directory = std::unique_ptr<CaptureDirectory>(
      new CaptureDirectory(std::move(canonical), lock));
  if (::flock(lock, LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("capture directory is in use by another process: ", path));
  }
  PARM_RETURN_IF_ERROR(directory->Scan());
  return directory;
}

CaptureDirectory::~CaptureDirectory() { ::close(lock_); }

absl::Status CaptureDirectory::Scan() {
  std::error_code error;
  std::filesystem::directory_iterator entry(path_, error);
  for (; !error && entry != std::filesystem::directory_iterator();
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    // The process that was writing it died: the lock is ours.
    if (absl::StartsWith(name, kPrefix) && absl::EndsWith(name, ".partial")) {
      std::error_code ignored;
      std::filesystem::remove(entry->path(), ignored);
    }
    const uint32_t number = PartNumber(name);
    if (number > 0) PARM_RETURN_IF_ERROR(AddPart(name, number));
  }
  if (!error) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("cannot read capture directory ",
                                             path_, ": ", error.message()));
}

absl::Status CaptureDirectory::AddPart(const std::string& name,
                                       uint32_t number) {
  const std::string file = absl::StrCat(path_, "/", name);
  std::string start(kMaxNpyHeaderBytes, '\0');
  std::ifstream stream(file, std::ios::binary);
  stream.read(start.data(), static_cast<std::streamsize>(start.size()));
  start.resize(
      static_cast<size_t>(std::max<std::streamsize>(stream.gcount(), 0)));
  const absl::StatusOr<NpyHeader> header = ParseNpyHeader(start, file);
  if (!header.ok()) {
    return absl::InvalidArgumentError(header.status().message());
  }
  if (header->shape.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("captured queries have no rows: got a scalar in ", file));
  }
  SampleLayout layout{
      .datatype = header->datatype,
      .shape = {header->shape.begin() + 1, header->shape.end()}};
  if (layout_.has_value() && *layout_ != layout) {
    return absl::InvalidArgumentError(absl::StrCat(
        "captured queries of one directory differ: got ",
        DataTypeName(layout.datatype), " ", ShapeToString(layout.shape), " in ",
        file, ", want ", DataTypeName(layout_->datatype), " ",
        ShapeToString(layout_->shape)));
  }
  PARM_ASSIGN_OR_RETURN(const int64_t bytes,
                        NumBytes(header->datatype, header->shape));
  layout_ = std::move(layout);
  rows_ += static_cast<uint64_t>(header->shape[0]);
  bytes_ += static_cast<uint64_t>(bytes);
  next_part_ = std::max(next_part_, number + 1);
  return absl::OkStatus();
}

absl::Status CaptureDirectory::WritePart(uint32_t number,
                                         const SampleLayout& layout,
                                         int64_t rows,
                                         absl::string_view bytes) const {
  if (number > kMaxParts) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "capture directory holds too many files: want at most ", kMaxParts));
  }
  std::vector<int64_t> shape = layout.shape;
  shape.insert(shape.begin(), rows);
  return WriteFileAtomically(
      absl::StrCat(path_, "/", PartName(number)),
      absl::StrCat(WriteNpyHeader(layout.datatype, shape), bytes));
}

}  // namespace parm
