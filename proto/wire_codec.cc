#include "proto/wire_codec.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "google/protobuf/stubs/logging.h"
#include "proto/envelope_check.h"
#include "proto/envelope_scan.h"

namespace parm::wire {
namespace {

// protobuf would write a line to stderr for every frame with broken UTF-8, so
// that a peer could fill the disk. The Status says as much.
[[maybe_unused]] const auto kSilenced =
    google::protobuf::SetLogHandler(nullptr);

template <typename... Parts>
absl::Status Malformed(const Parts&... parts) {
  return absl::DataLossError(absl::StrCat("malformed envelope: ", parts...));
}

// Error texts come from libraries: any length, any bytes. Cut and cleaned here,
// since the receiver would refuse the whole reply.
void MakeErrorSendable(std::string* error) {
  if (error->size() > kMaxErrorBytes) error->resize(kMaxErrorBytes);
  for (char& c : *error) {
    if (static_cast<unsigned char>(c) >= 0x80) c = '?';
  }
}

}  // namespace

std::string SerializeEnvelope(Envelope envelope) {
  envelope.set_version(kVersion);
  if (envelope.has_reply() && !envelope.reply().error().empty()) {
    MakeErrorSendable(envelope.mutable_reply()->mutable_error());
  }
  return envelope.SerializeAsString();
}

absl::StatusOr<Envelope> ParseEnvelope(absl::Span<const std::byte> frame) {
  if (frame.size() > kMaxEnvelopeBytes) {
    return Malformed("too large: got ", frame.size(), " bytes, limit ",
                     kMaxEnvelopeBytes);
  }
  // Counts come first: a spec that is empty on the wire takes two bytes there
  // and some seventy once parsed.
  const EnvelopeScan scan = ScanEnvelope(frame);
  if (scan.version != 0 && scan.version != kVersion) {
    return absl::FailedPreconditionError(absl::StrCat(
        "protocol version differs: got ", scan.version, ", want ", kVersion));
  }
  if (!scan.well_formed) return Malformed("truncated or not an envelope");
  if (scan.version == 0) return Malformed("no version");
  if (scan.num_messages != 1) {
    return Malformed("message count differs: got ", scan.num_messages,
                     ", want 1");
  }
  if (scan.max_tensors > kMaxTensors || scan.num_bundles > kMaxBundles) {
    return Malformed("too many specs: got ", scan.max_tensors, " tensors and ",
                     scan.num_bundles, " bundles, limits ", kMaxTensors,
                     " and ", kMaxBundles);
  }
  if (scan.max_bins > kMaxCalibrationBins) {
    return Malformed("too many calibration bins: got ", scan.max_bins,
                     ", limit ", kMaxCalibrationBins);
  }
  if (scan.max_patterns > kMaxCalibrationPatterns) {
    return Malformed("too many calibration patterns: got ", scan.max_patterns,
                     ", limit ", kMaxCalibrationPatterns);
  }
  Envelope envelope;
  if (!envelope.ParseFromArray(frame.data(), static_cast<int>(frame.size()))) {
    return Malformed("not an envelope");
  }
  PARM_RETURN_IF_ERROR(CheckEnvelope(envelope));
  return envelope;
}

uint64_t TaskIdOfMalformed(absl::Span<const std::byte> frame) {
  // A frame beyond the bound is read no further than the bound.
  return ScanEnvelope(frame.subspan(0, kMaxEnvelopeBytes)).task_id;
}

absl::Status CheckFrames(
    absl::Span<const size_t> frame_sizes,
    const google::protobuf::RepeatedPtrField<TensorSpec>& specs) {
  if (frame_sizes.size() != static_cast<size_t>(specs.size())) {
    return absl::DataLossError(absl::StrCat("tensor frame count differs: got ",
                                            frame_sizes.size(), ", want ",
                                            specs.size()));
  }
  for (size_t i = 0; i < frame_sizes.size(); ++i) {
    const TensorSpec& spec = specs.Get(static_cast<int>(i));
    const parm::TensorSpec tensor = FromWire(spec);
    if (tensor.datatype == parm::DataType::kBytes) continue;
    const absl::StatusOr<int64_t> want =
        NumBytes(tensor.datatype, tensor.shape);
    if (!want.ok()) {
      return absl::DataLossError(
          absl::StrCat("tensor ", spec.name(), ": ", want.status().message()));
    }
    if (frame_sizes[i] != static_cast<size_t>(*want)) {
      return absl::DataLossError(absl::StrCat(
          "size of tensor ", spec.name(), " differs: got ", frame_sizes[i],
          " bytes, want ", *want, " for ", DataTypeName(tensor.datatype),
          ShapeToString(tensor.shape)));
    }
  }
  return absl::OkStatus();
}

parm::TensorSpec FromWire(const TensorSpec& spec) {
  return {.name = spec.name(),
          .datatype = DataType_IsValid(spec.datatype())
                          ? static_cast<parm::DataType>(spec.datatype())
                          : parm::DataType::kInvalid,
          .shape = {spec.shape().begin(), spec.shape().end()}};
}

TensorSpec ToWire(const parm::TensorSpec& spec) {
  TensorSpec wire;
  wire.set_name(spec.name);
  wire.set_datatype(static_cast<DataType>(spec.datatype));
  wire.mutable_shape()->Add(spec.shape.begin(), spec.shape.end());
  return wire;
}

}  // namespace parm::wire
