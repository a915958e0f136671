#include "proto/envelope_scan.h"

#include <algorithm>

#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/wire_format_lite.h"
#include "proto/envelope.pb.h"

namespace parm::wire {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;

// The stream stands behind a length-delimited tag. Calls `read(stream)` with
// the stream limited to that message. A length beyond the frame's end reads
// what is there and then fails.
template <typename Read>
bool ReadMessage(CodedInputStream* stream, Read read) {
  uint32_t length = 0;
  if (!stream->ReadVarint32(&length)) return false;
  if (length > static_cast<uint32_t>(INT32_MAX)) return false;
  const CodedInputStream::Limit limit =
      stream->PushLimit(static_cast<int>(length));
  const bool complete = read(stream) && stream->BytesUntilLimit() == 0;
  stream->PopLimit(limit);
  return complete;
}

// Calls `field(number, tag)` for every field up to the limit. It returns false
// to stop, and must have consumed the field's value.
template <typename Field>
bool ForEachField(CodedInputStream* stream, Field field) {
  while (true) {
    const uint32_t tag = stream->ReadTag();
    if (tag == 0) return stream->ConsumedEntireMessage();
    if (!field(WireFormatLite::GetTagFieldNumber(tag), tag)) return false;
  }
}

bool IsMessage(uint32_t tag) {
  return WireFormatLite::GetTagWireType(tag) ==
         WireFormatLite::WIRETYPE_LENGTH_DELIMITED;
}

bool Skip(CodedInputStream* stream, uint32_t tag) {
  return WireFormatLite::SkipField(stream, tag);
}

bool ScanPattern(CodedInputStream* stream, EnvelopeScan* scan) {
  int num_bins = 0;
  const bool complete = ForEachField(stream, [&](int number, uint32_t tag) {
    num_bins += number == PatternCalibration::kCalibrationFieldNumber;
    return Skip(stream, tag);
  });
  scan->max_bins = std::max(scan->max_bins, num_bins);
  return complete;
}

bool ScanBundle(CodedInputStream* stream, EnvelopeScan* scan) {
  int num_inputs = 0;
  int num_outputs = 0;
  int num_bins = 0;
  int num_patterns = 0;
  const bool complete = ForEachField(stream, [&](int number, uint32_t tag) {
    num_inputs += number == BundleInfo::kInputsFieldNumber;
    num_outputs += number == BundleInfo::kOutputsFieldNumber;
    num_bins += number == BundleInfo::kCalibrationFieldNumber;
    if (number != BundleInfo::kPatternCalibrationFieldNumber ||
        !IsMessage(tag)) {
      return Skip(stream, tag);
    }
    ++num_patterns;
    return ReadMessage(stream, [scan](CodedInputStream* pattern) {
      return ScanPattern(pattern, scan);
    });
  });
  scan->max_tensors = std::max({scan->max_tensors, num_inputs, num_outputs});
  scan->max_bins = std::max(scan->max_bins, num_bins);
  scan->max_patterns = std::max(scan->max_patterns, num_patterns);
  return complete;
}

bool ScanHello(CodedInputStream* stream, EnvelopeScan* scan) {
  return ForEachField(stream, [&](int number, uint32_t tag) {
    if (number != Hello::kBundlesFieldNumber || !IsMessage(tag)) {
      return Skip(stream, tag);
    }
    ++scan->num_bundles;
    return ReadMessage(stream, [scan](CodedInputStream* bundle) {
      return ScanBundle(bundle, scan);
    });
  });
}

// Infer, Started, Reply and Cancel all begin with their task id.
bool ScanTask(CodedInputStream* stream, int tensors_field, EnvelopeScan* scan) {
  static_assert(
      Infer::kTaskIdFieldNumber == 1 && Started::kTaskIdFieldNumber == 1 &&
      Reply::kTaskIdFieldNumber == 1 && Cancel::kTaskIdFieldNumber == 1);
  constexpr uint32_t kTaskIdTag = WireFormatLite::MakeTag(
      Infer::kTaskIdFieldNumber, WireFormatLite::WIRETYPE_FIXED64);
  int num_tensors = 0;
  const bool complete = ForEachField(stream, [&](int number, uint32_t tag) {
    if (tag == kTaskIdTag) {
      uint64_t task_id = 0;
      if (!stream->ReadLittleEndian64(&task_id)) return false;
      scan->task_id = task_id;
      return true;
    }
    num_tensors += number == tensors_field;
    return Skip(stream, tag);
  });
  scan->max_tensors = std::max(scan->max_tensors, num_tensors);
  return complete;
}

bool ScanMessage(CodedInputStream* stream, int number, uint32_t tag,
                 EnvelopeScan* scan) {
  ++scan->num_messages;
  if (!IsMessage(tag)) return false;
  return ReadMessage(stream, [&](CodedInputStream* message) {
    switch (number) {
      case Envelope::kHelloFieldNumber:
        return ScanHello(message, scan);
      case Envelope::kInferFieldNumber:
        return ScanTask(message, Infer::kTensorsFieldNumber, scan);
      case Envelope::kReplyFieldNumber:
        return ScanTask(message, Reply::kTensorsFieldNumber, scan);
      case Envelope::kStartedFieldNumber:
      case Envelope::kCancelFieldNumber:
        return ScanTask(message, /*tensors_field=*/0, scan);
      default:
        return message->Skip(message->BytesUntilLimit());
    }
  });
}

}  // namespace

EnvelopeScan ScanEnvelope(absl::Span<const std::byte> frame) {
  EnvelopeScan scan;
  CodedInputStream stream(reinterpret_cast<const uint8_t*>(frame.data()),
                          static_cast<int>(frame.size()));
  constexpr uint32_t kVersionTag = WireFormatLite::MakeTag(
      Envelope::kVersionFieldNumber, WireFormatLite::WIRETYPE_VARINT);
  scan.well_formed = ForEachField(&stream, [&](int number, uint32_t tag) {
    if (tag == kVersionTag) {
      uint32_t version = 0;  // Holds nonsense if the read fails.
      if (!stream.ReadVarint32(&version)) return false;
      scan.version = version;
      return true;
    }
    const bool is_message = number >= Envelope::kHelloRequestFieldNumber &&
                            number <= Envelope::kHeartbeatRequestFieldNumber;
    if (!is_message) return Skip(&stream, tag);
    return ScanMessage(&stream, number, tag, &scan);
  });
  return scan;
}

}  // namespace parm::wire
