// Any bytes as an envelope frame: refused with one of two codes, or read to a
// message that is within every bound and survives the way back.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/status_macros.h"
#include "proto/wire_codec.h"

namespace parm::wire {
namespace {

void CheckSpecs(const google::protobuf::RepeatedPtrField<TensorSpec>& specs) {
  PARM_CHECK(specs.size() <= kMaxTensors);
  std::vector<size_t> sizes;
  for (const TensorSpec& wire : specs) {
    const parm::TensorSpec spec = FromWire(wire);
    PARM_CHECK(FromWire(ToWire(spec)) == spec);
    sizes.push_back(static_cast<size_t>(
        NumBytes(spec.datatype, spec.shape).value_or(/*BYTES*/ 0)));
  }
  PARM_CHECK(CheckFrames(sizes, specs).ok());
}

void ParseAndCheck(absl::Span<const std::byte> frame) {
  const uint64_t task_id = TaskIdOfMalformed(frame);
  const absl::StatusOr<Envelope> envelope = ParseEnvelope(frame);
  if (!envelope.ok()) {
    PARM_CHECK(absl::IsDataLoss(envelope.status()) ||
               absl::IsFailedPrecondition(envelope.status()));
    return;
  }
  if (envelope->has_infer()) {
    PARM_CHECK(task_id == envelope->infer().task_id());
    CheckSpecs(envelope->infer().tensors());
  }
  if (envelope->has_reply()) {
    PARM_CHECK(task_id == envelope->reply().task_id());
    CheckSpecs(envelope->reply().tensors());
  }
  const std::string again = SerializeEnvelope(*envelope);
  const absl::StatusOr<Envelope> reread = ParseEnvelope(
      {reinterpret_cast<const std::byte*>(again.data()), again.size()});
  PARM_CHECK(reread.ok());
  PARM_CHECK(SerializeEnvelope(*reread) == again);
}

}  // namespace
}  // namespace parm::wire

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  parm::wire::ParseAndCheck({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
