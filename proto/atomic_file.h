#pragma once

// Whole files in, whole files out: a file that is written here (checkpoint,
// report, array, part of a capture) is there complete or not at all.

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace parm {

/// Errors: kNotFound if there is no such file; kUnavailable if it cannot be
/// read; kInvalidArgument if it holds more than `max_bytes`.
absl::StatusOr<std::string> ReadWholeFile(const std::string& path,
                                          int64_t max_bytes);

/// Writes a temporary file beside `path`, syncs it and renames it into place.
/// Errors: kResourceExhausted if the disk is full, kUnavailable for what else
/// the system refuses; the temporary file is then gone and an older file at
/// `path` untouched.
absl::Status WriteFileAtomically(const std::string& path,
                                 absl::string_view contents);

}  // namespace parm
