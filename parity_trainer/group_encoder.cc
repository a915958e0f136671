#include "parity_trainer/group_encoder.h"

#include <vector>

#include "base/status_macros.h"

namespace parm {

HostTensor GatherSamples(const Dataset& data, const Split& split,
                         absl::Span<const int64_t> indices, DataType datatype) {
  HostTensor samples{.datatype = datatype, .shape = data.sample_shape};
  samples.shape.insert(samples.shape.begin(),
                       static_cast<int64_t>(indices.size()));
  AppendWireSamples(data, split, indices, datatype, &samples.bytes);
  return samples;
}

absl::StatusOr<HostTensor> EncodeMembers(const Code& code, int parity_index,
                                         const HostTensor& slot_major) {
  const auto k = static_cast<size_t>(code.spec().k);
  PARM_CHECK(slot_major.shape[0] > 0 &&
             slot_major.shape[0] % code.spec().k == 0);
  std::vector<int64_t> shape = slot_major.shape;
  shape[0] /= code.spec().k;
  const size_t slot_bytes = slot_major.bytes.size() / k;
  std::vector<TensorView> members;
  for (size_t slot = 0; slot < k; ++slot) {
    members.push_back({.datatype = slot_major.datatype,
                       .shape = shape,
                       .bytes = slot_major.view().bytes.subspan(
                           slot * slot_bytes, slot_bytes)});
  }
  PARM_ASSIGN_OR_RETURN(
      TensorSpec spec,
      code.ParityQuerySpec({.datatype = slot_major.datatype, .shape = shape},
                           code.spec().k));
  HostTensor parity{.datatype = spec.datatype, .shape = std::move(spec.shape)};
  PARM_ASSIGN_OR_RETURN(const int64_t bytes,
                        NumBytes(parity.datatype, parity.shape));
  parity.bytes.resize(static_cast<size_t>(bytes));
  PARM_RETURN_IF_ERROR(
      code.Encode(parity_index, members, parity.mutable_view()));
  return parity;
}

absl::StatusOr<HostTensor> EncodeGroups(const Code& code, int parity_index,
                                        const Dataset& data, const Split& split,
                                        absl::Span<const int64_t> slot_major,
                                        DataType datatype) {
  return EncodeMembers(code, parity_index,
                       GatherSamples(data, split, slot_major, datatype));
}

}  // namespace parm
