#include "proto/oip/message_pieces.h"

#include <google/protobuf/io/coded_stream.h>

#include <utility>

namespace parm::oip {
namespace {

using google::protobuf::io::CodedOutputStream;

/// Smaller tensors are copied beside the rest: a piece costs more than that.
constexpr size_t kMinPieceBytes = 4096;

}  // namespace

size_t TotalBytes(const MessagePieces& pieces) {
  size_t total = 0;
  for (const Buffer& piece : pieces) total += piece.size();
  return total;
}

void AppendVarint(uint64_t value, std::string* out) {
  uint8_t bytes[10];
  const uint8_t* const end =
      CodedOutputStream::WriteVarint64ToArray(value, bytes);
  out->append(reinterpret_cast<const char*>(bytes),
              static_cast<size_t>(end - bytes));
}

void AppendTag(int field, std::string* out) {
  AppendVarint((static_cast<uint32_t>(field) << 3) | kLengthDelimited, out);
}

size_t FieldSize(size_t size) {
  return 1 + CodedOutputStream::VarintSize64(size) + size;
}

void PieceWriter::AppendBytesField(int field, const Buffer& data) {
  AppendTag(field, &text_);
  AppendVarint(data.size(), &text_);
  if (data.size() < kMinPieceBytes) {
    text_.append(reinterpret_cast<const char*>(data.bytes().data()),
                 data.size());
    return;
  }
  Cut();
  pieces_.push_back(data);
}

MessagePieces PieceWriter::Finish() {
  Cut();
  return std::move(pieces_);
}

void PieceWriter::Cut() {
  if (text_.empty()) return;
  pieces_.push_back(Buffer::FromString(std::exchange(text_, {})));
}

}  // namespace parm::oip
