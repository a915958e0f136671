#include "proto/oip/message_splitter.h"

#include <google/protobuf/io/coded_stream.h>

#include <climits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "proto/oip/message_pieces.h"

namespace parm::oip {
namespace {

/// The wire types of protobuf's encoding; a tag is field number and wire type.
constexpr uint32_t kVarint = 0;
constexpr uint32_t kFixed64 = 1;
constexpr uint32_t kFixed32 = 5;
constexpr int kMaxVarint32Bytes = 5;

absl::Status Malformed() {
  return absl::InvalidArgumentError("the message is no infer message");
}

class Splitter {
 public:
  Splitter(google::protobuf::io::ZeroCopyInputStream* in, size_t size,
           uint32_t raw_field, const CodecLimits& limits)
      : in_(in), size_(size), raw_field_(raw_field), limits_(limits) {}

  absl::Status Split();
  SplitMessage Take() { return std::move(out_); }

 private:
  absl::Status TakeBytes(uint32_t tag);

  google::protobuf::io::CodedInputStream in_;
  const size_t size_;
  const uint32_t raw_field_;
  const CodecLimits& limits_;
  SplitMessage out_;
};

absl::Status Splitter::Split() {
  if (size_ > INT_MAX) return Malformed();
  int begin = 0;
  while (const uint32_t tag = in_.ReadTag()) {
    // No field has the number 0, and no tag or length is longer: protobuf's
    // own parser refuses them too.
    if (tag >> 3 == 0 || in_.CurrentPosition() - begin > kMaxVarint32Bytes) {
      return Malformed();
    }
    uint64_t unused;
    switch (tag & 7) {
      // Fields that are not ours: all of ours are length-delimited.
      case kVarint:
        if (!in_.ReadVarint64(&unused)) return Malformed();
        break;
      case kFixed64:
        if (!in_.Skip(8)) return Malformed();
        break;
      case kFixed32:
        if (!in_.Skip(4)) return Malformed();
        break;
      case kLengthDelimited:
        PARM_RETURN_IF_ERROR(TakeBytes(tag));
        break;
      default:
        return Malformed();
    }
    begin = in_.CurrentPosition();
  }
  // A tag of 0 is no end.
  const bool complete = in_.ConsumedEntireMessage() &&
                        static_cast<size_t>(in_.CurrentPosition()) == size_;
  return complete ? absl::OkStatus() : Malformed();
}

absl::Status Splitter::TakeBytes(uint32_t tag) {
  const int begin = in_.CurrentPosition();
  uint64_t length;
  if (!in_.ReadVarint64(&length) ||
      in_.CurrentPosition() - begin > kMaxVarint32Bytes ||
      length > size_ - static_cast<size_t>(in_.CurrentPosition())) {
    return Malformed();
  }
  const auto num_bytes = static_cast<int>(length);
  const uint32_t field = tag >> 3;
  if (field > raw_field_) {
    return in_.Skip(num_bytes) ? absl::OkStatus() : Malformed();
  }
  if (field < raw_field_) {
    AppendVarint(tag, &out_.head);
    AppendVarint(length, &out_.head);
    const size_t end = out_.head.size();
    out_.head.resize(end + length);
    return in_.ReadRaw(out_.head.data() + end, num_bytes) ? absl::OkStatus()
                                                          : Malformed();
  }
  if (out_.raw.size() == limits_.max_tensors) {
    return absl::InvalidArgumentError(absl::StrCat(
        "too many raw tensors: want at most ", limits_.max_tensors));
  }
  std::byte* out;
  out_.raw.push_back(Buffer::Allocate(length, &out));
  return in_.ReadRaw(out, num_bytes) ? absl::OkStatus() : Malformed();
}

}  // namespace

absl::StatusOr<SplitMessage> SplitInferMessage(
    google::protobuf::io::ZeroCopyInputStream* in, size_t size, int raw_field,
    const CodecLimits& limits) {
  Splitter splitter(in, size, static_cast<uint32_t>(raw_field), limits);
  PARM_RETURN_IF_ERROR(splitter.Split());
  return splitter.Take();
}

}  // namespace parm::oip
