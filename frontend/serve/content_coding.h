#pragma once

// gzip and deflate (zlib's wrapper, as HTTP means it) of whole bodies, with a
// bound on what a small body may grow to. Steps [1] and [7] of a query's life.

#include <cstddef>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "proto/oip/body.h"

namespace parm {

enum class ContentCoding { kIdentity, kGzip, kDeflate };

/// "gzip", "deflate".
absl::string_view ContentCodingName(ContentCoding coding);

/// A Content-Encoding header.
/// Errors: kUnimplemented for one that is not known, or for several.
absl::StatusOr<ContentCoding> ParseContentEncoding(absl::string_view header);

/// The coding that an Accept-Encoding header likes best; gzip before deflate
/// before identity where it likes them equally.
ContentCoding ChooseCoding(absl::string_view accept_encoding);

/// Decodes a body. json_bytes is kept: it counts decoded bytes.
/// Errors: kInvalidArgument if it is broken, cut off or followed by more;
/// kOutOfRange if it would hold more than `max_bytes`.
absl::StatusOr<oip::Body> Decompress(ContentCoding coding,
                                     const oip::Body& body, size_t max_bytes);

/// `coding` of the whole body in one piece; fast rather than small.
/// Needs: coding is not kIdentity.
std::string Compress(ContentCoding coding, const oip::EncodedBody& body);

}  // namespace parm
