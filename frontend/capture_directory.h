#pragma once

// Where captured queries lie: a directory of part files queries-NNNNNN.npy,
// each [rows, ...] of one datatype and shape, as parm-train reads them. A part
// appears whole, and is replaced by a longer one until it is full.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/tensor.h"

namespace parm {

/// What the samples of one directory have in common.
struct SampleLayout {
  DataType datatype = DataType::kInvalid;
  std::vector<int64_t> shape;  // without the batch

  bool operator==(const SampleLayout&) const = default;
};

/// For the configuration: the directory's path without links and dots.
/// Errors: kInvalidArgument if it does not exist, is no directory, or this
/// process may not write to it.
absl::StatusOr<std::string> CheckCaptureDirectory(const std::string& path);

/// Holds a lock on the directory, so that no two frontends number the same
/// parts.
/// Threads: one at a time.
class CaptureDirectory {
 public:
  static constexpr uint32_t kMaxParts = 999'999;

  /// Counts what earlier runs left, and removes what they left unfinished.
  /// Errors: kInvalidArgument as CheckCaptureDirectory, and for a part file
  /// that is none or of another layout than the others; kFailedPrecondition if
  /// another process holds the directory; kUnavailable if it cannot be read.
  static absl::StatusOr<std::unique_ptr<CaptureDirectory>> Open(
      const std::string& path);
  ~CaptureDirectory();
  CaptureDirectory(const CaptureDirectory&) = delete;
  CaptureDirectory& operator=(const CaptureDirectory&) = delete;

  const std::string& path() const { return path_; }

  /// What was here when it was opened.
  const std::optional<SampleLayout>& layout() const { return layout_; }
  uint64_t rows() const { return rows_; }
  uint64_t bytes() const { return bytes_; }

  /// The number of the next part file.
  uint32_t next_part() const { return next_part_; }

  /// Writes part `number`, in place of a shorter one.
  /// Errors: as WriteFileAtomically; kResourceExhausted above kMaxParts.
  absl::Status WritePart(uint32_t number, const SampleLayout& layout,
                         int64_t rows, absl::string_view bytes) const;

 private:
  CaptureDirectory(std::string path, int lock)
      : path_(std::move(path)), lock_(lock) {}
  absl::Status Scan();
  absl::Status AddPart(const std::string& name, uint32_t number);

  const std::string path_;
  const int lock_;  // the directory itself, held with flock
  std::optional<SampleLayout> layout_;
  uint64_t rows_ = 0;
  uint64_t bytes_ = 0;
  uint32_t next_part_ = 1;
};

}  // namespace parm
