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

absl::StatusOr<HostTensor> EncodeGroups(const Code& code, int parity_index,
                                        const Dataset& data, const Split& split,
                                        absl::Span<const int64_t> slot_major,
                                        DataType datatype) {
  const auto k = static_cast<size_t>(code.spec().k);
  PARM_CHECK(!slot_major.empty() && slot_major.size() % k == 0);
  const size_t count = slot_major.size() / k;
  std::vector<HostTensor> members;
  std::vector<TensorView> views;
  members.reserve(k);
  for (size_t slot = 0; slot < k; ++slot) {
    members.push_back(GatherSamples(
        data, split, slot_major.subspan(slot * count, count), datatype));
    views.push_back(members.back().view());
  }
  PARM_ASSIGN_OR_RETURN(
      TensorSpec spec,
      code.ParityQuerySpec({.datatype = datatype, .shape = members[0].shape},
                           code.spec().k));
  HostTensor parity{.datatype = spec.datatype, .shape = std::move(spec.shape)};
  PARM_ASSIGN_OR_RETURN(const int64_t bytes,
                        NumBytes(parity.datatype, parity.shape));
  parity.bytes.resize(static_cast<size_t>(bytes));
  PARM_RETURN_IF_ERROR(code.Encode(parity_index, views, parity.mutable_view()));
  return parity;
}

}  // namespace parm
