#pragma once

// A message of protobuf that is sent piece after piece, so that large tensors
// are not copied into it.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/buffer.h"

namespace parm::oip {

/// One after the other they are the message.
using MessagePieces = std::vector<Buffer>;

size_t TotalBytes(const MessagePieces& pieces);

/// What a message may hold, and a little less: protobuf counts in int.
inline constexpr size_t kMaxMessageBytes = (size_t{1} << 31) - 65;

/// The wire type of strings, bytes and messages in protobuf's encoding.
inline constexpr uint32_t kLengthDelimited = 2;

void AppendVarint(uint64_t value, std::string* out);
/// The tag of a length-delimited field.
void AppendTag(int field, std::string* out);
/// Bytes of a length-delimited field (of a number below 16) with `size` bytes.
size_t FieldSize(size_t size);

/// Appends bytes to a message and cuts it into pieces where a large tensor
/// stands, which becomes a piece of its own without a copy.
class PieceWriter {
 public:
  std::string* text() { return &text_; }

  void AppendBytesField(int field, const Buffer& data);
  MessagePieces Finish();

 private:
  void Cut();

  std::string text_;
  MessagePieces pieces_;
};

}  // namespace parm::oip
