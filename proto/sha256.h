#pragma once

// SHA-256 digests: what names a bundle on the wire and proves a model file.

#include <array>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace parm {

/// A SHA-256 digest.
using Sha256 = std::array<uint8_t, 32>;

/// 64 digits, lower case.
std::string ToHex(const Sha256& digest);
/// Errors: kInvalidArgument unless `hex` is 64 hex digits.
absl::StatusOr<Sha256> FromHex(absl::string_view hex);
Sha256 Sha256Of(absl::string_view bytes);
/// Errors: kNotFound if the file cannot be read.
absl::StatusOr<Sha256> Sha256OfFile(const std::string& path);

/// The 32 bytes, as wire messages hold them.
std::string ToBytes(const Sha256& digest);

}  // namespace parm
