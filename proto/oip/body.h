#pragma once

// The body of an Open Inference Protocol message in both directions: JSON, then
// raw tensors. Shared by every codec of this folder; HTTP parsers fill a Body,
// HTTP writers send an EncodedBody as a list of buffers.

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "base/buffer.h"

namespace parm::oip {

/// Readable bytes behind a body that let the JSON parser work in place.
inline constexpr size_t kBodyPadding = 64;

/// A received body: the first `size` bytes of `storage`. What lies behind them
/// is never looked at for meaning; kBodyPadding bytes of it save one copy of
/// the JSON part.
struct Body {
  Buffer storage;
  size_t size = 0;
  /// Inference-Header-Content-Length: bytes of JSON at the front. Without it
  /// the body is JSON alone; 0 is a raw binary request.
  std::optional<size_t> json_bytes;
};

/// Storage for a body of `size` bytes, to be filled through `*data`.
Buffer AllocateBody(size_t size, std::byte** data);

/// A body without a length header, for text that is at hand.
Body BodyOf(std::string text);

/// A body to send. If `binary`, the length header must say json.size() and the
/// content type is application/octet-stream; else `tensors` is empty.
struct EncodedBody {
  std::string json;
  std::vector<Buffer> tensors;
  bool binary = false;

  size_t TotalBytes() const;
};

/// What a receiver gets of `encoded`: for tests and for compression, which need
/// it in one piece.
Body Flatten(const EncodedBody& encoded);

/// Bounds on what the parsers of this folder accept.
struct CodecLimits {
  size_t max_json_bytes = size_t{64} << 20;
  /// One tensor that is written out in JSON, once it is binary.
  size_t max_json_tensor_bytes = size_t{64} << 20;
  size_t max_tensors = 64;
  size_t max_rank = 16;
  size_t max_parameters = 64;
  /// Names, ids and keys.
  size_t max_name_bytes = 1024;
};

/// Deepest nesting of JSON that is read.
inline constexpr size_t kMaxJsonDepth = 100;

}  // namespace parm::oip
