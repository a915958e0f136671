#pragma once

// Envelope bytes <-> types, with every bound of proto/README.md checked before
// anything is allocated. Used by the frontend's upstream, by workers, and by
// tests that play either side.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/tensor.h"
#include "proto/envelope.pb.h"

namespace parm::wire {

inline constexpr uint32_t kVersion = 1;

/// Bounds on what is accepted; beyond one, the message is kDataLoss.
inline constexpr size_t kMaxEnvelopeBytes = size_t{1} << 20;
inline constexpr int kMaxTensors = 64;
inline constexpr int kMaxRank = 16;
inline constexpr int kMaxBundles = 256;
inline constexpr int kMaxCalibrationBins = 32;
/// With four parities: each number of losses with each set of at least as many
/// parities that holds the bundle's own, but the one of `calibration`.
inline constexpr int kMaxCalibrationPatterns = 19;
inline constexpr size_t kMaxNameBytes = 1024;
inline constexpr size_t kMaxErrorBytes = 4096;
inline constexpr uint32_t kMaxLanes = 1024;
inline constexpr uint32_t kMaxK = 16;
inline constexpr uint32_t kMaxR = 4;
inline constexpr size_t kDigestBytes = 32;

/// The envelope frame, version filled in. A reply's error text is cut to
/// kMaxErrorBytes and made ASCII; all else must keep the bounds.
std::string SerializeEnvelope(Envelope envelope);

/// Parses and checks one envelope frame: version, exactly one message, ids and
/// digests of the right size, counts, names, ranks, shapes without overflow,
/// known enum values.
/// Errors: kDataLoss if malformed or beyond a bound; kFailedPrecondition if its
/// version is another one.
absl::StatusOr<Envelope> ParseEnvelope(absl::Span<const std::byte> frame);

/// The task id of a frame that ParseEnvelope refused, for an error reply; 0 if
/// none can be read.
uint64_t TaskIdOfMalformed(absl::Span<const std::byte> frame);

/// Checks that the frames after the envelope are what its specs say: their
/// number, and each size equal to shape times datatype. BYTES tensors may have
/// any size.
/// Errors: kDataLoss, naming the tensor.
absl::Status CheckFrames(
    absl::Span<const size_t> frame_sizes,
    const google::protobuf::RepeatedPtrField<TensorSpec>& specs);

parm::TensorSpec FromWire(const TensorSpec& spec);
TensorSpec ToWire(const parm::TensorSpec& spec);

}  // namespace parm::wire
